//! `dist/capi`: libencoderfile as programs in C find it, shared and static, with its header, and files
//! for pkg-config and CMake. The folder may be anywhere.

mod system;

use crate::dist::{PARTS, megabytes, size};
use crate::notices;
use crate::process;
use crate::steps::Steps;
use crate::table::Table;
use crate::workspace::Workspace;
use anyhow::Context;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use system::System;

/// The version of the interface: `ENCODERFILE_ABI_VERSION`.
const ABI: &str = "0";

/// What it is put together of.
pub(crate) struct Built<'a> {
    /// The target, as Rust names it.
    pub(crate) target: &'a str,
    /// Where cargo left the libraries.
    pub(crate) folder: PathBuf,
    /// What links for the target.
    pub(crate) linker: Command,
}

/// What `dist` makes of the crate.
pub(crate) struct Library {
    /// With `include`, `lib` and `share`.
    pub(crate) folder: PathBuf,
    shared: PathBuf,
    archive: PathBuf,
}

impl Library {
    /// Its parts, their sizes and where they are.
    pub(crate) fn list(&self, workspace: &Workspace, table: &mut Table) -> anyhow::Result<()> {
        let parts = [
            ("C library", &self.shared),
            ("C library, static", &self.archive),
        ];
        for (part, path) in parts {
            let size = megabytes(size(path)?);
            table.push(vec![part.into(), size, workspace.shown(path).to_string()]);
        }
        Ok(())
    }
}

/// Builds it, and nothing else.
pub(crate) fn run(workspace: &Workspace) -> anyhow::Result<()> {
    let mut steps = Steps::new();
    let mut cargo = workspace.cargo(&["build", "--release", "--package", "encoderfile-capi"]);
    process::run(&mut cargo)?;
    if let Some(library) = build(workspace, &mut steps)? {
        let mut parts = Table::new(&PARTS);
        library.list(workspace, &mut parts)?;
        print!("\n{}", parts.to_terminal());
    }
    Ok(())
}

/// Puts together what cargo has built. `None` on Windows, for which a release has it.
pub(crate) fn build(workspace: &Workspace, steps: &mut Steps) -> anyhow::Result<Option<Library>> {
    if !cfg!(unix) {
        steps.skip(
            "C library",
            "on Windows it is that of a release, which Linux links",
        )?;
        return Ok(None);
    }
    steps.begin(
        "C library",
        "shared and static, the header, and what pkg-config and CMake read",
    );
    let built = Built {
        target: &workspace.host,
        folder: workspace.target.join("release"),
        linker: Command::new("cc"),
    };
    lay_out(workspace, built, workspace.root.join("dist/capi")).map(Some)
}

/// The libraries and what belongs to them, in a new folder.
pub(crate) fn lay_out(
    workspace: &Workspace,
    built: Built<'_>,
    folder: PathBuf,
) -> anyhow::Result<Library> {
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| folder.display().to_string())?;
    }
    let system = System::of(built.target);
    let library = Library {
        shared: folder.join(system.file(&workspace.version)),
        archive: folder.join("lib/libencoderfile.a"),
        folder,
    };
    let folders = [
        "include",
        "lib/pkgconfig",
        "lib/cmake/encoderfile",
        "share/doc/encoderfile",
    ];
    let folders = folders.map(|it| library.folder.join(it));
    let of_shared = library.shared.parent().map(Path::to_owned);
    for folder in folders.into_iter().chain(of_shared) {
        fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    }
    let archive = built.folder.join("libencoderfile_capi.a");
    copy(&archive, &library.archive)?;
    system.share(workspace, built, &library)?;
    write_files(workspace, &library.folder, &system)?;
    Ok(library)
}

fn write_files(workspace: &Workspace, folder: &Path, system: &System) -> anyhow::Result<()> {
    let root = &workspace.root;
    copy(
        &root.join("capi/include/encoderfile.h"),
        &folder.join("include/encoderfile.h"),
    )?;
    let documents = folder.join("share/doc/encoderfile");
    copy(&root.join("LICENSE"), &documents.join("LICENSE"))?;
    copy(
        &notices::of_library(workspace),
        &documents.join("THIRD-PARTY.txt"),
    )?;
    let version = workspace.version.as_str();
    let series = version
        .rsplit_once('.')
        .map_or(version, |(series, _)| series);
    let [file, known_by] = system.imported();
    let (flags, list) = (system.libraries().join(" "), system.libraries().join(";"));
    for (name, to, libraries) in [
        ("encoderfile.pc", "lib/pkgconfig", &flags),
        ("encoderfile-config.cmake", "lib/cmake/encoderfile", &list),
        (
            "encoderfile-config-version.cmake",
            "lib/cmake/encoderfile",
            &list,
        ),
    ] {
        let from = root.join("capi/package").join(name);
        let text = fs::read_to_string(&from).with_context(|| from.display().to_string())?;
        let text = text
            .replace("@VERSION@", version)
            .replace("@SERIES@", series)
            .replace("@SHARED@", &file)
            .replace("@KNOWN_BY@", &known_by)
            .replace("@SYSTEM@", libraries);
        let to = folder.join(to).join(name);
        fs::write(&to, text).with_context(|| to.display().to_string())?;
    }
    Ok(())
}

fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    fs::copy(from, to).with_context(|| format!("{} to {}", from.display(), to.display()))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::ABI;

    /// xtask depends on no crate of the workspace, so that this is written twice, and again for the
    /// linker.
    #[test]
    fn the_interface_has_one_version() {
        let header = include_str!("../../capi/include/encoderfile.h");
        assert!(header.contains(&format!("#define ENCODERFILE_ABI_VERSION {ABI}\n")));
        let script = include_str!("../../capi/package/encoderfile.map");
        assert!(script.contains(&format!("\nENCODERFILE_{ABI} {{")));
    }
}
