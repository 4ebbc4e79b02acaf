//! Fetching over a network: what models of the hub and base programs of a release have in
//! common.
//!
//! This is all that ever speaks to a network, and only the tool has it: no base program does.

mod client;
mod download;
mod folder;
mod hash;
mod proxy;
mod url;

pub(crate) use client::{Answer, Asked, Client, NetError, content_length, is_good, said, shown};
pub(crate) use client::{body_from, stated_pause};
pub(crate) use download::{Download, DownloadError, Opened};
pub(crate) use folder::{create_folder_of, lock, write};
pub(crate) use hash::{Hash, hexadecimal, sha256_of};
pub(crate) use url::{Url, without_login};
