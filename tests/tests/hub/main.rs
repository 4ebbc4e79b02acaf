//! `build --model ORG/NAME`: models of a hub, which is a server of the tests, with the
//! answers of huggingface.co and with faults.
#![cfg(unix)]

mod access;
mod bench;
mod cache;
mod content;
mod faults;
mod files;
mod many;
mod names;
mod server;
mod shared;
mod tls;
