//! Who may depend on whom, checked from `cargo tree`, and what `format`, `graph` and
//! `encoder` may not ask of the system, checked from their sources up to their tests.

use crate::process;
use crate::python;
use crate::workspace::Workspace;
use anyhow::{Context, bail, ensure};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// What one package must never depend on, not even through others.
struct Rule {
    package: &'static str,
    never: &'static [&'static str],
    why: &'static str,
}

/// The package in which numbers are computed.
pub(crate) const KERNELS: &str = "encoderfile-kernels";

/// Where it is, from the root: the one place of intrinsics.
const KERNELS_FOLDER: &str = "runtime/kernels";

/// Where intrinsics begin. In two parts, since this file is looked through as well.
const INTRINSICS: [&str; 2] = [concat!("std", "::arch"), concat!("core", "::arch")];

/// The packages in which everything between bytes and values is computed.
pub(crate) const CORE: [&str; 4] = [
    KERNELS,
    "encoderfile-format",
    "encoderfile-graph",
    "encoderfile-encoder",
];

const RULES: [Rule; 13] = [
    Rule {
        package: "encoderfile-proto",
        never: &["encoderfile-format", "encoderfile-graph"],
        why: "the wire format stands below everything",
    },
    Rule {
        package: KERNELS,
        never: &[
            "tract-core",
            "prost",
            "rayon",
            "encoderfile-proto",
            "encoderfile-format",
        ],
        why: "kernels take slices and give slices, on the threads of whoever calls them",
    },
    Rule {
        package: "encoderfile-format",
        never: &[
            "tract-core",
            "tokenizers",
            "serde_json",
            "memmap2",
            "rayon",
            "encoderfile-graph",
        ],
        why: "what reads a file knows nothing of what it computes",
    },
    Rule {
        package: "encoderfile-graph",
        never: &["tokenizers", "serde_json", "memmap2", "encoderfile-encoder"],
        why: "a graph takes numbers and gives numbers",
    },
    Rule {
        package: "encoderfile-encoder",
        never: &["memmap2", "tokio", "encoderfile"],
        why: "a model is a function of bytes and texts",
    },
    Rule {
        package: "encoderfile",
        never: &[
            "tokio",
            "clap",
            "wasmtime",
            "axum",
            "utoipa",
            "encoderfile-host",
            "encoderfile-server",
            "encoderfile-builder",
            "ureq",
        ],
        why: "it has files and threads, and no frontend",
    },
    Rule {
        package: "encoderfile-dialects",
        never: &[
            "tokio",
            "hyper",
            "axum",
            "tower",
            "tonic",
            "clap",
            "encoderfile-host",
            "encoderfile-server",
            "encoderfile-builder",
            "ureq",
        ],
        why: "what answers a request does not know how it came",
    },
    Rule {
        package: "encoderfile-server",
        never: &[
            "wasmtime",
            "encoderfile-host",
            "encoderfile-builder",
            "ureq",
        ],
        why: "what answers requests knows neither the command line nor how files are built",
    },
    Rule {
        package: "encoderfile-infer",
        never: &[
            "tokio",
            "arrow-array",
            "parquet",
            "encoderfile-host",
            "encoderfile-server",
            "encoderfile-builder",
            "ureq",
        ],
        why: "what every base program has knows neither its frontends nor what is larger than it",
    },
    Rule {
        package: "encoderfile-host",
        never: &[
            "wasmtime",
            "tract-hir",
            "arrow-array",
            "parquet",
            "encoderfile-builder",
            "ureq",
        ],
        why: "a built file carries nothing that builds files or asks other machines, and no operator it does not use",
    },
    Rule {
        package: "encoderfile-python",
        never: &[
            "clap",
            "tokio",
            "encoderfile-host",
            "encoderfile-server",
            "encoderfile-builder",
            "ureq",
        ],
        why: "what Python imports is the runtime and no other frontend",
    },
    Rule {
        package: "encoderfile-wasm",
        never: &[
            "clap",
            "encoderfile-host",
            "encoderfile-server",
            "encoderfile-builder",
            "ureq",
        ],
        why: "what a page loads is the runtime and no other frontend",
    },
    Rule {
        package: "encoderfile-capi",
        never: &[
            "tokio",
            "clap",
            "encoderfile-host",
            "encoderfile-server",
            "encoderfile-builder",
            "ureq",
        ],
        why: "what a program links is the runtime and no other frontend",
    },
];

/// The modules of the standard library that ask the system for something.
const SYSTEM: [&str; 6] = [
    "std::env::",
    "std::fs",
    "std::net",
    "std::process",
    "std::thread::",
    "std::time",
];

/// Where a file's own tests begin; below that, and in files of tests, is no part of it.
const TESTS: &str = "#[cfg(test)]";

/// Checks every rule, on every target.
pub(crate) fn check(workspace: &Workspace) -> anyhow::Result<()> {
    for folder in ["format", "graph", "encoder"] {
        check_sources(&workspace.root.join("runtime").join(folder).join("src"))?;
    }
    for rule in &RULES {
        let found = dependencies(workspace, rule.package)?;
        let broken = rule
            .never
            .iter()
            .find(|never| found.iter().any(|name| name == *never));
        ensure!(
            broken.is_none(),
            "{} depends on {}: {}; `cargo tree -p {0} -e normal -i {1}` shows how",
            rule.package,
            broken.unwrap_or(&""),
            rule.why
        );
    }
    for package in [
        "proto", "runtime", "dialects", "server", "host", "wasm", "capi", "builder",
    ] {
        check_intrinsics(workspace, &workspace.root.join(package))?;
    }
    check_closures(workspace, &workspace.root.join(KERNELS_FOLDER).join("src"))?;
    check_features(workspace)
}

/// What makes a vector, or is an instruction.
const VECTORS: [&str; 6] = ["_mm", "q_f32", "q_u32", "::load(", "::splat(", "::zero("];

/// The vectors that every processor of a target has: they are compiled for their instructions anywhere.
const BASELINE: [&str; 2] = ["portable.rs", "simd128.rs"];

/// Refuses vectors in closures of the kernels: a closure is compiled without the instructions of the function that
/// it is in, and calls what it should be.
fn check_closures(workspace: &Workspace, folder: &Path) -> anyhow::Result<()> {
    let entries = fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    for entry in entries {
        let path = entry?.path();
        if path.ends_with("tests") || BASELINE.iter().any(|name| path.ends_with(name)) {
            continue;
        }
        if path.is_dir() {
            check_closures(workspace, &path)?;
            continue;
        }
        let source = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let code = source.split(TESTS).next().unwrap_or_default();
        if let Some(closure) = closures(code).find(|body| has_vectors(body)) {
            let place = workspace.shown(&path);
            bail!(
                "{place}: a vector in a closure, `{closure}`, which is compiled without its instructions"
            );
        }
    }
    Ok(())
}

fn has_vectors(body: &str) -> bool {
    VECTORS.iter().any(|it| body.contains(it)) && !body.contains("Baseline")
}

/// What the closures of a source compute, as far as its characters tell.
fn closures(code: &str) -> impl Iterator<Item = &str> {
    let bars = code.match_indices('|').map(|(place, _)| place);
    let begins = |place: &usize| {
        let before = code[..*place].trim_end();
        before.ends_with(['(', ',', '=', '&', '{']) || before.ends_with("move")
    };
    bars.filter(begins).filter_map(|place| {
        let parameters = code[place + 1..].find('|')?;
        Some(expression(code[place + 1 + parameters + 1..].trim_start()))
    })
}

/// What a text begins with: up to the end of a block, or to where a list or a statement ends.
fn expression(code: &str) -> &str {
    let mut depth = 0i32;
    for (place, character) in code.char_indices() {
        match character {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth -= 1,
            ',' | ';' if depth == 0 => return &code[..place],
            _ => {}
        }
        let is_block = depth == 0 && character == '}' && code.starts_with('{');
        if depth < 0 || is_block {
            return &code[..place];
        }
    }
    code
}

/// What is built beside programs and tests in one: of which packages, and where features are named so that
/// its dependencies are the same.
const BUILDS: [(&[&str], &str); 2] = [
    (&["--workspace"], "tests/Cargo.toml"),
    (
        &["--package", python::PACKAGE, "--features", python::FEATURE],
        "python/Cargo.toml",
    ),
];

/// Refuses a build of which dependencies are compiled once more, with other features.
fn check_features(workspace: &Workspace) -> anyhow::Result<()> {
    // Those of the target alone, and with what runs while they are compiled.
    for edges in ["normal,no-proc-macro", "normal,build"] {
        let compiled = features(workspace, &format!("{edges},dev"), &["--workspace"])?;
        for (packages, place) in BUILDS {
            let wanted = features(workspace, edges, packages)?;
            // But for the wheel's own package, which has one feature more.
            let is_other = |it: &&String| !it.starts_with(python::PACKAGE);
            let Some(other) = wanted.difference(&compiled).find(is_other) else {
                continue;
            };
            let name = other.split(' ').next().unwrap_or_default();
            let is_same = |it: &&String| it.split(' ').next() == Some(name);
            let compiled: Vec<_> = compiled.iter().filter(is_same).collect();
            bail!(
                "`cargo build {}` has {other:?}, and with the tests it is {compiled:?}: name the features that \
                 are missing in {place}, or all that depends on it is compiled twice",
                packages.join(" ")
            );
        }
    }
    Ok(())
}

/// Each package that some packages depend on, with its version and its features. For one target, so that
/// every machine has the same answer.
fn features(
    workspace: &Workspace,
    edges: &str,
    packages: &[&str],
) -> anyhow::Result<BTreeSet<String>> {
    let mut tree = workspace.cargo(&["tree", "--no-dedupe", "--edges", edges]);
    tree.args(["--target", "x86_64-unknown-linux-gnu", "--prefix", "none"]);
    tree.args(["--format", "{p} {f}"]).args(packages);
    let tree = process::capture(&mut tree)?;
    // A package that is a procedural macro is marked so in some of the trees.
    let lines = tree.lines().map(|line| line.replace(" (proc-macro)", ""));
    Ok(lines.collect())
}

/// Refuses intrinsics in what is shipped, but for the kernels.
fn check_intrinsics(workspace: &Workspace, folder: &Path) -> anyhow::Result<()> {
    if folder == workspace.root.join(KERNELS_FOLDER) || folder.ends_with("node_modules") {
        return Ok(());
    }
    let entries = fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            check_intrinsics(workspace, &path)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let source = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
            let found = INTRINSICS.iter().find(|name| source.contains(*name));
            ensure!(
                found.is_none(),
                "{} has intrinsics of {}: they belong to {KERNELS_FOLDER}",
                workspace.shown(&path),
                found.unwrap_or(&"")
            );
        }
    }
    Ok(())
}

/// Refuses a source that asks the system for something.
fn check_sources(folder: &Path) -> anyhow::Result<()> {
    let name = || folder.display().to_string();
    for entry in fs::read_dir(folder).with_context(name)? {
        let path = entry.with_context(name)?.path();
        if path.is_dir() {
            check_sources(&path)?;
            continue;
        }
        let source = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let code = source.split(TESTS).next().unwrap_or_default();
        let asked = SYSTEM.iter().find(|module| code.contains(**module));
        ensure!(
            asked.is_none() || path.ends_with("tests.rs"),
            "{}: {} in it: what is between bytes and values asks the system for nothing; files and threads are `runtime/src`'s",
            path.display(),
            asked.unwrap_or(&"")
        );
    }
    Ok(())
}

/// The names of all packages that `package` depends on, on whatever target.
fn dependencies(workspace: &Workspace, package: &str) -> anyhow::Result<Vec<String>> {
    let mut tree = workspace.cargo(&["tree", "--package", package, "--edges", "normal"]);
    tree.args(["--target", "all", "--prefix", "none", "--format", "{p}"]);
    let tree = process::capture(&mut tree)?;
    let names = tree
        .lines()
        .filter_map(|line| line.split_whitespace().next());
    Ok(names.map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_are_found_in_closures_alone() {
        let found = |code: &str| closures(code).any(has_vectors);
        for code in [
            "let a = [low, high].map(|it| Self(_mm256_cvtepi32_ps(it)));",
            "words.map(|word| S::splat(token, word))",
            "rows.for_each(move |row| {\n    let a = V::load(token, row);\n    a.store(row)\n});",
            "let of = |it: &[f32]| V::load(token, it);",
            "with(1, |a, b| (a, Self(vcvtq_f32_u32(b))));",
        ] {
            assert!(found(code), "{code}");
        }
        for code in [
            "let a = rows.map(|row| &mut row[at..]); V::load(token, a)",
            "V::load(token, &rows.iter().map(|row| row[0]).collect())",
            "rows.for_each(|row| { row.len(); }); let a = V::splat(token, 0.0);",
            "if a | b == 0 || c { S::zero(token) }",
            "four.map(|values| F32x4::load(Baseline, values))",
        ] {
            assert!(!found(code), "{code}");
        }
    }
}
