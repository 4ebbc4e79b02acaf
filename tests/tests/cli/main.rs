//! The real programs on the command line: what they refuse, each with an exit
//! code other than 0 and one line that says what and where, and what they do.

mod bad_files;
mod bad_models;
mod bad_requests;
mod bad_texts;
mod building;
mod full_disk;
mod int8;
#[cfg(target_os = "linux")]
mod large_model;
mod model_files;
mod one_by_one;
mod panics;
mod results;
mod retargeting;
mod spellings;
mod upstream;
mod workshop;
