//! Who may depend on whom, checked from `cargo tree`.

use crate::process;
use crate::workspace::Workspace;
use anyhow::ensure;

/// What one package must never depend on, not even through others.
struct Rule {
    package: &'static str,
    never: &'static [&'static str],
    why: &'static str,
}

/// The packages in which everything between bytes and values is computed.
pub(crate) const CORE: [&str; 3] = [
    "encoderfile-format",
    "encoderfile-graph",
    "encoderfile-encoder",
];

const RULES: [Rule; 8] = [
    Rule {
        package: "encoderfile-proto",
        never: &["encoderfile-format", "encoderfile-graph"],
        why: "the wire format stands below everything",
    },
    Rule {
        package: "encoderfile-format",
        never: &[
            "tract-core",
            "tokenizers",
            "serde_json",
            "encoderfile-graph",
        ],
        why: "what reads a file knows nothing of what it computes",
    },
    Rule {
        package: "encoderfile-graph",
        never: &["tokenizers", "serde_json", "encoderfile-encoder"],
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
        ],
        why: "the core is a function that runs in a browser as well",
    },
    Rule {
        package: "encoderfile-server",
        never: &["wasmtime", "encoderfile-host", "encoderfile-builder"],
        why: "what answers requests knows neither the command line nor how files are built",
    },
    Rule {
        package: "encoderfile-host",
        never: &["wasmtime", "tract-onnx", "encoderfile-builder"],
        why: "a built file carries nothing that builds files, and no operator it does not use",
    },
    Rule {
        package: "encoderfile-wasm",
        never: &[
            "clap",
            "encoderfile-host",
            "encoderfile-server",
            "encoderfile-builder",
        ],
        why: "what a page loads is the runtime and no other shell",
    },
];

/// Checks every rule, on every target.
pub(crate) fn check(workspace: &Workspace) -> anyhow::Result<()> {
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
