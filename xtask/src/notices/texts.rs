//! The licence texts that a package ships, those of code of others inside of it too.

use super::Entry;
use crate::packages::{Id, Package, Packages};
use anyhow::{Context, bail, ensure};
use std::fs;
use std::path::{Path, PathBuf};

/// How names of files with licences and notices begin.
const BEGINNINGS: [&str; 5] = ["license", "licence", "unlicense", "copying", "notice"];

/// Where one more is named: a copyright without a licence.
const COPYRIGHT: &str = "copyright";

/// What is no text, though called so.
const NO_TEXTS: [&str; 4] = ["rs", "a", "c", "h"];

/// Packages that ship no text, and one under the same licence that does: of the same project where a
/// text names its holders.
const SHIPPED_BY: [(&str, &str); 17] = [
    ("alloc-stdlib", "alloc-no-stdlib"),
    ("cranelift-assembler-x64", "wasmtime"),
    ("cranelift-bitset", "wasmtime"),
    ("flatbuffers", "prost"),
    ("nom-language", "nom"),
    ("opentelemetry", "prost"),
    ("opentelemetry-otlp", "prost"),
    ("opentelemetry-proto", "prost"),
    ("opentelemetry_sdk", "prost"),
    ("pulley-interpreter", "wasmtime"),
    ("tonic-prost", "tonic"),
    ("wasmtime-internal-component-util", "wasmtime"),
    ("wasmtime-internal-core", "wasmtime"),
    ("wasmtime-internal-jit-icache-coherence", "wasmtime"),
    ("wasmtime-wasi-io", "wasmtime"),
    ("wasmtime-wizer", "wasmtime"),
    ("winapi-x86_64-pc-windows-gnu", "winapi"),
];

/// Code of others inside of a package.
struct Inside {
    package: &'static str,
    /// Where its licence is, from the package's folder.
    path: &'static str,
    /// What it is and under which licence; `None` if it is not compiled, or the licence is one that
    /// another file has.
    is: Option<(&'static str, &'static str, &'static str)>,
}

/// Every licence in a folder of a package has to be here.
const INSIDE: [Inside; 13] = [
    Inside {
        package: "libmimalloc-sys",
        path: "c_src/mimalloc/v2/LICENSE",
        is: Some(("mimalloc", "MIT", "https://github.com/microsoft/mimalloc")),
    },
    Inside {
        package: "libmimalloc-sys",
        path: "c_src/mimalloc/v3/LICENSE",
        is: None,
    },
    // Of a fork of SQLite, which is not compiled: the library is given SQLite's functions by whoever
    // loads it.
    Inside {
        package: "libsqlite3-sys",
        path: "sqlcipher/LICENSE",
        is: None,
    },
    Inside {
        package: "opentelemetry-proto",
        path: "src/proto/opentelemetry-proto/LICENSE",
        is: Some((
            "OpenTelemetry's messages",
            "Apache-2.0",
            "https://github.com/open-telemetry/opentelemetry-proto",
        )),
    },
    Inside {
        package: "pyo3",
        path: "pyo3-runtime/LICENSE-APACHE",
        is: None,
    },
    Inside {
        package: "pyo3",
        path: "pyo3-runtime/LICENSE-MIT",
        is: None,
    },
    Inside {
        package: "regex-syntax",
        path: "src/unicode_tables/LICENSE-UNICODE",
        is: Some((
            "tables of Unicode",
            "Unicode-DFS-2016",
            "https://www.unicode.org",
        )),
    },
    Inside {
        package: "ring",
        path: "src/polyfill/once_cell/LICENSE-APACHE",
        is: Some((
            "once_cell",
            "MIT OR Apache-2.0",
            "https://github.com/matklad/once_cell",
        )),
    },
    Inside {
        package: "ring",
        path: "src/polyfill/once_cell/LICENSE-MIT",
        is: Some((
            "once_cell",
            "MIT OR Apache-2.0",
            "https://github.com/matklad/once_cell",
        )),
    },
    Inside {
        package: "ring",
        path: "third_party/fiat/LICENSE",
        is: Some((
            "fiat-crypto",
            "MIT",
            "https://github.com/mit-plv/fiat-crypto",
        )),
    },
    Inside {
        package: "tracing-core",
        path: "src/spin/LICENSE",
        is: Some(("spin", "MIT", "https://github.com/mvdnes/spin-rs")),
    },
    // Its other licence, the GPL: it is used under the first.
    Inside {
        package: "zstd-sys",
        path: "zstd/COPYING",
        is: None,
    },
    Inside {
        package: "zstd-sys",
        path: "zstd/LICENSE",
        is: Some((
            "Zstandard",
            "BSD-3-Clause",
            "https://github.com/facebook/zstd",
        )),
    },
];

/// The package and what of others is in it.
pub(super) fn entries(packages: &Packages, id: &Id) -> anyhow::Result<Vec<Entry>> {
    let package = packages.get(id)?;
    let (top, inside) = licences(&package.folder)?;
    let mut texts = read_all(&package.folder, &top)?;
    if texts.is_empty() {
        texts = texts_of_sibling(packages, id, package)?;
    }
    let mut entries = vec![Entry {
        name: id.name.clone(),
        version: id.version.clone(),
        licence: package.licence.clone(),
        source: source(id, package),
        texts,
    }];
    for path in inside {
        let known = INSIDE
            .iter()
            .find(|known| known.package == id.name && Path::new(known.path) == path);
        let known = known.with_context(|| {
            format!(
                "{id} has a licence of others in {}: say in INSIDE of {} what that is",
                path.display(),
                file!()
            )
        })?;
        let Some((name, licence, source)) = known.is else {
            continue;
        };
        entries.push(Entry {
            name: name.into(),
            version: format!("in {id}"),
            licence: licence.into(),
            source: source.into(),
            texts: read_all(&package.folder, &[path])?,
        });
    }
    Ok(entries)
}

/// Where its source is.
pub(super) fn source(id: &Id, package: &Package) -> String {
    let page = || format!("https://crates.io/crates/{}", id.name);
    package.repository.clone().unwrap_or_else(page)
}

fn texts_of_sibling(
    packages: &Packages,
    id: &Id,
    package: &Package,
) -> anyhow::Result<Vec<String>> {
    let Some((_, sibling)) = SHIPPED_BY.iter().find(|(name, _)| *name == id.name) else {
        bail!(
            "{id} ships no licence text: say in SHIPPED_BY of {} which package of its project does",
            file!()
        );
    };
    let (_, sibling) = packages
        .named(sibling)
        .with_context(|| format!("no {sibling} for {id}"))?;
    ensure!(
        sibling.licence == package.licence,
        "{id} is under {}, and the package whose text it has under {}",
        package.licence,
        sibling.licence
    );
    let texts = read_all(&sibling.folder, &licences(&sibling.folder)?.0)?;
    ensure!(
        !texts.is_empty(),
        "{id}: the package whose text it has ships none either"
    );
    Ok(texts)
}

fn read_all(folder: &Path, paths: &[PathBuf]) -> anyhow::Result<Vec<String>> {
    let read = |path: &PathBuf| {
        let path = folder.join(path);
        let bytes = fs::read(&path).with_context(|| path.display().to_string())?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    paths.iter().map(read).collect()
}

/// The files with licences in a package's folder and in the folders below, each sorted.
fn licences(folder: &Path) -> anyhow::Result<(Vec<PathBuf>, Vec<PathBuf>)> {
    let mut found = Vec::new();
    collect(folder, Path::new(""), &mut found)?;
    found.sort();
    Ok(found
        .into_iter()
        .partition(|path| path.components().count() == 1))
}

fn collect(folder: &Path, below: &Path, found: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    let current = folder.join(below);
    for entry in fs::read_dir(&current).with_context(|| current.display().to_string())? {
        let entry = entry?;
        let path = below.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            collect(folder, &path, found)?;
        } else if is_licence(&path) {
            found.push(path);
        }
    }
    Ok(())
}

fn is_licence(path: &Path) -> bool {
    let name = path
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .to_lowercase();
    let extension = path.extension().unwrap_or_default();
    let is_called_so = BEGINNINGS
        .iter()
        .any(|beginning| name.starts_with(beginning))
        || name.starts_with(COPYRIGHT)
        || path.components().any(|part| part.as_os_str() == "LICENSES");
    is_called_so && !NO_TEXTS.iter().any(|no_text| extension == *no_text)
}

#[cfg(test)]
mod tests {
    use super::is_licence;
    use std::path::Path;

    #[test]
    fn licences_are_known_by_their_names() {
        for name in [
            "LICENSE",
            "LICENSE-MIT",
            "license.md",
            "COPYING",
            "UNLICENSE",
            "NOTICE.txt",
            "a/LICENCE",
            "LICENSES/MIT.txt",
        ] {
            assert!(is_licence(Path::new(name)), "{name}");
        }
        for name in ["copying.rs", "README.md", "liboemlicense.a", "src/lib.rs"] {
            assert!(!is_licence(Path::new(name)), "{name}");
        }
    }
}
