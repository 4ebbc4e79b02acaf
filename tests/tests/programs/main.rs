//! The real programs, in what no file of `cases/` can say: bytes and numbers that must
//! be equal, full disks, killed processes, little memory.

mod building;
mod checkpoints;
mod encodings;
mod full_disk;
mod int8;
#[cfg(target_os = "linux")]
mod large_model;
#[cfg(target_os = "linux")]
mod memory;
mod one_by_one;
mod panics;
mod results;
mod retargeting;
mod rows;
mod testing;
mod upstream;
