//! What differs between systems: what the libraries are called, where they are, and how the shared one
//! is linked.

use super::{ABI, Built, Library, copy};
use crate::dll::Dll;
use crate::process;
use crate::workspace::Workspace;
use anyhow::Context;
use std::collections::BTreeSet;
use std::fs;

/// What the linker is told of what the library needs of the system, as `rustc --print
/// native-static-libs` says; and that tract's assembly needs no executable stack.
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

const MACOS: &[&str] = &["-liconv", "-lSystem", "-lc", "-lm"];

/// For MinGW; the last is what Rust's own `libgcc_eh` is in.
const WINDOWS: &[&str] = &[
    "-lkernel32",
    "-lntdll",
    "-luserenv",
    "-lws2_32",
    "-ldbghelp",
    "-lgcc_eh",
];

/// What SQLite looks for, which the header leaves out.
const EXTENSION: &str = "sqlite3_encoderfile_init";

/// What files are called, and what belongs to a system's linker.
pub(super) enum System {
    Linux,
    Macos,
    Windows,
}

impl System {
    pub(super) fn of(target: &str) -> Self {
        match target {
            it if it.contains("-apple-") => Self::Macos,
            it if it.contains("-windows-") => Self::Windows,
            _ => Self::Linux,
        }
    }

    /// The shared library, below the folder.
    pub(super) fn file(&self, version: &str) -> String {
        match self {
            Self::Linux => format!("lib/libencoderfile.so.{version}"),
            Self::Macos => format!("lib/libencoderfile.{version}.dylib"),
            Self::Windows => "bin/encoderfile.dll".into(),
        }
    }

    /// What a program is linked with, and then looks for when it is started: links to the library.
    fn links(&self) -> Option<[String; 2]> {
        match self {
            Self::Linux => Some([
                "libencoderfile.so".into(),
                format!("libencoderfile.so.{ABI}"),
            ]),
            Self::Macos => Some([
                "libencoderfile.dylib".into(),
                format!("libencoderfile.{ABI}.dylib"),
            ]),
            Self::Windows => None,
        }
    }

    /// What programs are linked with to call it: of the names that MinGW's linker and Microsoft's look for.
    fn import_libraries(&self) -> &'static [&'static str] {
        match self {
            Self::Windows => &["lib/libencoderfile.dll.a", "lib/encoderfile.lib"],
            Self::Linux | Self::Macos => &[],
        }
    }

    /// What CMake is told of the shared library: where it is, and what it is known by.
    pub(super) fn imported(&self) -> [String; 2] {
        match self.links() {
            Some([link, soname]) => [
                format!("lib/{link}"),
                format!("IMPORTED_SONAME \"{soname}\""),
            ],
            None => [
                self.file(""),
                "IMPORTED_IMPLIB \"${_encoderfile_prefix}/lib/libencoderfile.dll.a\"".into(),
            ],
        }
    }

    /// What a program is linked with beside the static library.
    pub(super) fn libraries(&self) -> &'static [&'static str] {
        match self {
            Self::Linux => LINUX,
            Self::Macos => MACOS,
            Self::Windows => WINDOWS,
        }
    }

    /// The shared library, and what programs find it by.
    pub(super) fn share(
        &self,
        workspace: &Workspace,
        built: Built<'_>,
        library: &Library,
    ) -> anyhow::Result<()> {
        match self {
            Self::Linux => link_elf(workspace, built, library)?,
            Self::Macos => {
                let made = built.folder.join("libencoderfile_capi.dylib");
                copy(&made, &library.shared)?;
            }
            Self::Windows => self.link_dll(workspace, built, library)?,
        }
        let Some(file) = library.shared.file_name() else {
            return Ok(());
        };
        for name in self.links().into_iter().flatten() {
            let link = library.folder.join("lib").join(name);
            #[cfg(unix)]
            std::os::unix::fs::symlink(file, &link).with_context(|| link.display().to_string())?;
        }
        Ok(())
    }

    fn link_dll(
        &self,
        workspace: &Workspace,
        built: Built<'_>,
        library: &Library,
    ) -> anyhow::Result<()> {
        let header = workspace.root.join("capi/include/encoderfile.h");
        let header = fs::read_to_string(&header).with_context(|| header.display().to_string())?;
        let mut exports = functions(&header);
        exports.push(EXTENSION.into());
        let [first, others @ ..] = self.import_libraries() else {
            return Ok(());
        };
        let first = library.folder.join(first);
        let dll = Dll {
            archive: &built.folder.join("libencoderfile_capi.a"),
            exports,
            output: &library.shared,
            import_library: Some(&first),
        };
        dll.link(built.linker)?;
        for other in others {
            copy(&first, &library.folder.join(other))?;
        }
        Ok(())
    }
}

/// Of the static library, with versions of its symbols; what nobody calls is left out. Threads of a model
/// may outlive it, so that it is never unloaded.
fn link_elf(workspace: &Workspace, built: Built<'_>, library: &Library) -> anyhow::Result<()> {
    let script = workspace.root.join("capi/package/encoderfile.map");
    let mut link = built.linker;
    link.arg("-shared").arg("-s").arg("-o").arg(&library.shared);
    link.arg(format!("-Wl,-soname,libencoderfile.so.{ABI}"));
    link.arg(format!("-Wl,--version-script={}", script.display()));
    link.arg("-Wl,--whole-archive").arg(&library.archive);
    link.args([
        "-Wl,--no-whole-archive",
        "-Wl,--gc-sections",
        "-Wl,--as-needed",
    ]);
    link.args(["-Wl,-z,relro,-z,now", "-Wl,-z,nodelete"]);
    process::run(link.args(LINUX))
}

/// What a header declares.
fn functions(header: &str) -> Vec<String> {
    let is_name = |it: char| it.is_ascii_lowercase() || it == '_';
    let calls = header.match_indices('(').filter_map(|(at, _)| {
        let before = &header[..at];
        let name = before.trim_end_matches(is_name).len();
        Some(&before[name..]).filter(|it| it.starts_with("encoderfile_"))
    });
    let names: BTreeSet<&str> = calls.collect();
    names.into_iter().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::functions;

    #[test]
    fn functions_of_a_header_are_found_once() {
        let header = "/* encoderfile_b() frees it */\nint encoderfile_a(int x);\nvoid (*other)(void);\n\
                      void encoderfile_b(void);\n";
        assert_eq!(functions(header), ["encoderfile_a", "encoderfile_b"]);
    }
}
