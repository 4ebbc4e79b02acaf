//! Packages of Debian and its descendants, which root can install.

use super::on_path;
use crate::process;
use std::process::Command;

/// Installs packages. Elsewhere, and for anybody but root, does nothing.
pub(super) fn install(packages: &[&str]) -> anyhow::Result<()> {
    let Some(apt) = on_path("apt-get").filter(|_| is_root()) else {
        return Ok(());
    };
    println!("    installing Debian's {}", packages.join(", "));
    // Of one source that does not answer, the installation will tell if it matters.
    process::succeeds(Command::new(&apt).args(["--quiet", "update"]))?;
    let mut install = Command::new(&apt);
    install.env("DEBIAN_FRONTEND", "noninteractive");
    install.args(["--quiet", "install", "--yes", "--no-install-recommends"]);
    process::run(install.args(packages))
}

fn is_root() -> bool {
    let id = process::capture(Command::new("id").arg("-u"));
    id.is_ok_and(|id| id.trim() == "0")
}
