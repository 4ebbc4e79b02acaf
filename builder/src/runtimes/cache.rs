//! The folder that the user's caches are in.

use std::env;
use std::path::PathBuf;

/// `encoderfile` in it; `None` where nothing says where that is.
pub(super) fn default_folder() -> Option<PathBuf> {
    let variable = |name: &str| env::var_os(name).filter(|it| !it.is_empty());
    let folder = match variable("XDG_CACHE_HOME") {
        Some(folder) => PathBuf::from(folder),
        None if cfg!(windows) => variable("LOCALAPPDATA")?.into(),
        None if cfg!(target_os = "macos") => env::home_dir()?.join("Library/Caches"),
        None => env::home_dir()?.join(".cache"),
    };
    Some(folder.join("encoderfile"))
}
