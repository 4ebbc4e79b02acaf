//! `dist/capi`: libencoderfile as programs in C find it, shared and static, with its header, and files
//! for pkg-config and CMake. The folder may be anywhere.

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

/// The version of the interface: `ENCODERFILE_ABI_VERSION`.
const ABI: &str = "0";

/// What the linker is told of what the library needs of the system, as `rustc --print
/// native-static-libs` says.
const MACOS: &[&str] = &["-liconv", "-lSystem", "-lc", "-lm"];

/// The same; and that tract's assembly needs no executable stack.
const LINUX: &[&str] = &[
    "-lgcc_s",
    "-lutil",
    "-lrt",
    "-lpthread",
    "-lm",
    "-ldl",
    "-lc",
    "-Wl,-z,noexecstack",
];

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

/// Puts together what cargo has built. `None` where libraries have other names.
pub(crate) fn build(workspace: &Workspace, steps: &mut Steps) -> anyhow::Result<Option<Library>> {
    if !cfg!(unix) {
        steps.skip("C library", "its files are laid out for Unix alone")?;
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
    let names = Names::of(workspace, built.target);
    let library = Library {
        shared: folder.join("lib").join(&names.file),
        archive: folder.join("lib/libencoderfile.a"),
        folder,
    };
    for folder in [
        "include",
        "lib/pkgconfig",
        "lib/cmake/encoderfile",
        "share/doc/encoderfile",
    ] {
        let folder = library.folder.join(folder);
        fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    }
    let archive = built.folder.join("libencoderfile_capi.a");
    copy(&archive, &library.archive)?;
    share(workspace, built, &library, &names)?;
    write_files(workspace, &library.folder, &names)?;
    Ok(library)
}

/// What the shared library is called: itself, what programs look for when they are started, and
/// what they are linked with.
struct Names {
    file: String,
    soname: String,
    link: String,
    /// What a program is linked with beside it.
    system: &'static [&'static str],
}

impl Names {
    fn of(workspace: &Workspace, target: &str) -> Self {
        let version = &workspace.version;
        if is_apple(target) {
            return Self {
                file: format!("libencoderfile.{version}.dylib"),
                soname: format!("libencoderfile.{ABI}.dylib"),
                link: "libencoderfile.dylib".into(),
                system: MACOS,
            };
        }
        Self {
            file: format!("libencoderfile.so.{version}"),
            soname: format!("libencoderfile.so.{ABI}"),
            link: "libencoderfile.so".into(),
            system: LINUX,
        }
    }
}

fn is_apple(target: &str) -> bool {
    target.ends_with("-apple-darwin")
}

/// The shared library and the links to it. For ELF it is linked of the static one, with versions of
/// its symbols; what nobody calls is left out. Threads of a model may outlive it, so that it is
/// never unloaded.
fn share(
    workspace: &Workspace,
    built: Built<'_>,
    library: &Library,
    names: &Names,
) -> anyhow::Result<()> {
    if is_apple(built.target) {
        let made = built.folder.join("libencoderfile_capi.dylib");
        copy(&made, &library.shared)?;
    } else {
        let script = workspace.root.join("capi/package/encoderfile.map");
        let mut link = built.linker;
        link.arg("-shared").arg("-s").arg("-o").arg(&library.shared);
        link.arg(format!("-Wl,-soname,{}", names.soname));
        link.arg(format!("-Wl,--version-script={}", script.display()));
        link.arg("-Wl,--whole-archive").arg(&library.archive);
        link.args([
            "-Wl,--no-whole-archive",
            "-Wl,--gc-sections",
            "-Wl,--as-needed",
        ]);
        link.args(["-Wl,-z,relro,-z,now", "-Wl,-z,nodelete"]);
        process::run(link.args(names.system))?;
    }
    for name in [&names.soname, &names.link] {
        let link = library.folder.join("lib").join(name);
        #[cfg(unix)]
        std::os::unix::fs::symlink(&names.file, &link)
            .with_context(|| link.display().to_string())?;
    }
    Ok(())
}

fn write_files(workspace: &Workspace, folder: &Path, names: &Names) -> anyhow::Result<()> {
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
    let (flags, list) = (names.system.join(" "), names.system.join(";"));
    for (name, to, system) in [
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
            .replace("@SHARED@", &names.link)
            .replace("@SONAME@", &names.soname)
            .replace("@SYSTEM@", system);
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
