//! `build --model ORG/NAME`: models of a hub, which is a server of the tests, with the
//! answers of huggingface.co and with faults; and base programs of a release, likewise.
#![cfg(unix)]

mod access;
mod bench;
mod cache;
mod content;
mod faults;
mod files;
mod many;
mod names;
mod runtimes;
mod server;
mod shared;
mod tls;
