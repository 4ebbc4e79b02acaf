//! Code that is linked into a program and is of no package: what the toolchain brings along. Its licence
//! texts are in `licenses/texts`.

use super::Entry;
use crate::workspace::Workspace;
use anyhow::Context;
use std::fs;

/// Where the texts are, from the root.
const TEXTS: &str = "licenses/texts";

/// A library of the toolchain.
struct Library {
    name: &'static str,
    licence: &'static str,
    source: &'static str,
    /// Which targets it is linked for.
    is_linked: fn(&str) -> bool,
    /// Files in [`TEXTS`].
    texts: &'static [&'static str],
}

const LIBRARIES: [Library; 4] = [
    Library {
        name: "LLVM's compiler-rt and libunwind",
        licence: "Apache-2.0 WITH LLVM-exception",
        source: "https://github.com/llvm/llvm-project",
        is_linked: |_| true,
        texts: &["llvm.txt"],
    },
    Library {
        name: "musl",
        licence: "MIT",
        source: "https://musl.libc.org",
        is_linked: |target| target.ends_with("-musl"),
        texts: &["musl.txt"],
    },
    Library {
        name: "mingw-w64's runtime",
        licence: "ZPL-2.1",
        source: "https://www.mingw-w64.org",
        is_linked: |target| target.contains("-windows-gnu"),
        texts: &["mingw-w64.txt"],
    },
    Library {
        name: "wasi-libc",
        licence: "Apache-2.0 WITH LLVM-exception AND Apache-2.0 AND MIT AND BSD-2-Clause AND BSD-3-Clause AND CC0-1.0",
        source: "https://github.com/WebAssembly/wasi-libc",
        is_linked: |target| target.contains("-wasi"),
        texts: &[
            "wasi-libc.txt",
            "wasi-libc-apache-llvm.txt",
            "wasi-libc-mit.txt",
            "cloudlibc.txt",
            "musl.txt",
            "musl-fts.txt",
        ],
    },
];

/// Those that are linked for any of the targets.
pub(super) fn entries(workspace: &Workspace, targets: &[&str]) -> anyhow::Result<Vec<Entry>> {
    let is_linked = |library: &&Library| targets.iter().any(|target| (library.is_linked)(target));
    LIBRARIES
        .iter()
        .filter(is_linked)
        .map(|library| entry(workspace, library))
        .collect()
}

fn entry(workspace: &Workspace, library: &Library) -> anyhow::Result<Entry> {
    let read = |name: &&str| {
        let path = workspace.root.join(TEXTS).join(name);
        fs::read_to_string(&path).with_context(|| path.display().to_string())
    };
    Ok(Entry {
        name: library.name.into(),
        version: String::new(),
        licence: library.licence.into(),
        source: library.source.into(),
        texts: library
            .texts
            .iter()
            .map(read)
            .collect::<anyhow::Result<_>>()?,
    })
}
