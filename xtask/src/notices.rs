//! `cargo xtask licenses`: the notices of all that is linked into each program, which the crate
//! `licenses/` puts into it.
//!
//! **Invariant:** the files in `licenses/` name every package that cargo links into their program,
//! with every licence text that it ships; [`check`] makes them again and compares.

mod libraries;
mod texts;
mod toolchain;

use crate::dist::SPIN_ADAPTER;
use crate::packages::{Linked, Packages};
use crate::release::TARGETS;
use crate::setup::{BROWSER, WASM};
use crate::workspace::Workspace;
use anyhow::{Context, bail};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;
use std::path::PathBuf;

/// Where the files are, from the root.
const FOLDER: &str = "licenses";

/// What a line between two texts is made of.
const RULE: &str =
    "--------------------------------------------------------------------------------";

/// A program and the file of its notices.
struct Program {
    file: &'static str,
    is: &'static str,
    /// The packages that are linked into it, each for its targets.
    linked: &'static [(&'static str, Targets)],
}

/// What a package is linked for.
#[derive(Clone, Copy)]
enum Targets {
    /// Every target of a release but wasm's.
    Native,
    One(&'static str),
}

impl Targets {
    /// As Rust calls them.
    fn names(self) -> Vec<&'static str> {
        match self {
            Self::Native => {
                let all = TARGETS.iter().map(|target| target.rust);
                all.filter(|&name| name != WASM).collect()
            }
            Self::One(name) => vec![name],
        }
    }
}

const HOST: &str = "encoderfile-host";
const COMPONENT: &str = "encoderfile-component";

const PROGRAMS: [Program; 8] = [
    Program {
        file: "native.txt",
        is: "native base programs; what some targets alone need is among it",
        linked: &[(HOST, Targets::Native)],
    },
    Program {
        file: LIBRARY,
        is: "libencoderfile; what some targets alone need is among it",
        linked: &[("encoderfile-capi", Targets::Native)],
    },
    Program {
        file: "python.txt",
        is: "the module of the Python package, which has the encoderfile command beside it",
        linked: &[("encoderfile-python", Targets::Native)],
    },
    Program {
        file: "wasm.txt",
        is: "the base program for wasm32-wasip1",
        linked: &[(HOST, Targets::One(WASM))],
    },
    Program {
        file: "component.txt",
        is: "the base component for wasm32-wasip2",
        linked: &[(COMPONENT, Targets::One(WASM))],
    },
    Program {
        file: "tool.txt",
        is: "the encoderfile command and the base programs in it",
        linked: &[
            ("encoderfile-builder", Targets::Native),
            (HOST, Targets::Native),
            (HOST, Targets::One(WASM)),
            (COMPONENT, Targets::One(WASM)),
        ],
    },
    Program {
        file: NPM,
        is: "the WebAssembly module of the npm package",
        linked: &[("encoderfile-wasm", Targets::One(BROWSER))],
    },
    Program {
        file: SPIN,
        is: "the adapter for Spin",
        linked: &[(SPIN_ADAPTER, Targets::One(BROWSER))],
    },
];

/// The file of the C library.
const LIBRARY: &str = "library.txt";

/// The file of the npm package.
const NPM: &str = "npm.txt";

/// The file of the adapter for Spin.
const SPIN: &str = "spin.txt";

/// Something of others, or all that is ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) name: String,
    /// Empty where nothing says it.
    pub(crate) version: String,
    /// An SPDX expression.
    pub(crate) licence: String,
    /// Where its source is.
    pub(crate) source: String,
    texts: Vec<String>,
}

impl Entry {
    fn title(&self) -> String {
        format!("{} {}", self.name, self.version)
            .trim_end()
            .to_owned()
    }
}

/// Writes the files.
pub(crate) fn run(workspace: &Workspace) -> anyhow::Result<()> {
    let packages = Packages::read(workspace)?;
    for program in &PROGRAMS {
        let path = path(workspace, program.file);
        fs::write(&path, program.notices(workspace, &packages)?)
            .with_context(|| path.display().to_string())?;
        println!("written to {}", workspace.shown(&path));
    }
    Ok(())
}

/// Whether the files are what [`run`] would write.
///
/// # Errors
/// If one is not; the first line that differs is named.
pub(crate) fn check(workspace: &Workspace) -> anyhow::Result<()> {
    let packages = Packages::read(workspace)?;
    for program in &PROGRAMS {
        let path = path(workspace, program.file);
        let written = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        if let Some(line) = difference(&program.notices(workspace, &packages)?, &written) {
            let path = workspace.shown(&path);
            bail!("{path} is not what is linked: {line}; `cargo xtask licenses` writes it");
        }
    }
    Ok(())
}

/// The file with the notices of the npm package.
pub(crate) fn of_npm_package(workspace: &Workspace) -> PathBuf {
    path(workspace, NPM)
}

/// The file with the notices of the adapter for Spin.
pub(crate) fn of_spin_adapter(workspace: &Workspace) -> PathBuf {
    path(workspace, SPIN)
}

/// The file with the notices of the C library.
pub(crate) fn of_library(workspace: &Workspace) -> PathBuf {
    path(workspace, LIBRARY)
}

fn path(workspace: &Workspace, file: &str) -> PathBuf {
    workspace.root.join(FOLDER).join(file)
}

/// What is linked beside packages: the standard library and what the targets need.
pub(crate) fn of_toolchain(workspace: &Workspace, targets: &[&str]) -> anyhow::Result<Vec<Entry>> {
    let mut entries = toolchain::entries(workspace)?;
    entries.extend(libraries::entries(workspace, targets)?);
    Ok(entries)
}

impl Program {
    fn notices(&self, workspace: &Workspace, packages: &Packages) -> anyhow::Result<String> {
        let mut ids = BTreeSet::new();
        let mut targets = BTreeSet::new();
        for (package, of_targets) in self.linked {
            let of_targets = of_targets.names();
            ids.extend(
                Linked::into(workspace, package, &of_targets)?
                    .dependencies
                    .into_keys(),
            );
            targets.extend(of_targets);
        }
        let mut entries = vec![ours(workspace)?];
        for id in &ids {
            if !packages.get(id)?.is_ours {
                entries.extend(texts::entries(packages, id)?);
            }
        }
        let targets: Vec<&str> = targets.into_iter().collect();
        entries.extend(of_toolchain(workspace, &targets)?);
        Ok(render(self.is, merged(entries)))
    }
}

/// All packages of this workspace.
fn ours(workspace: &Workspace) -> anyhow::Result<Entry> {
    let path = workspace.root.join("LICENSE");
    let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    Ok(Entry {
        name: "encoderfile".into(),
        version: String::new(),
        licence: env!("CARGO_PKG_LICENSE").into(),
        source: "this project".into(),
        texts: vec![text],
    })
}

/// The entries in order, those of the same thing as one.
fn merged(entries: Vec<Entry>) -> Vec<Entry> {
    let mut by_title = BTreeMap::<(String, String), Entry>::new();
    for entry in entries {
        let title = entry.title();
        match by_title.get_mut(&(title.to_lowercase(), title.clone())) {
            Some(same) => same.texts.extend(entry.texts),
            None => {
                by_title.insert((title.to_lowercase(), title), entry);
            }
        }
    }
    by_title.into_values().collect()
}

/// A list of the entries, and each distinct text with those that it is of. Texts that differ in white
/// space alone are one.
fn render(program: &str, entries: Vec<Entry>) -> String {
    let mut notices = format!("Software in {program}, with its licences.\n\n");
    let mut texts = BTreeMap::<String, (String, Vec<String>)>::new();
    for entry in entries {
        let title = entry.title();
        let _ = writeln!(notices, "{title}: {}, {}", entry.licence, entry.source);
        for text in &entry.texts {
            let words: Vec<&str> = text.split_whitespace().collect();
            let (_, titles) = texts
                .entry(words.join(" "))
                .or_insert_with(|| (trimmed(text), Vec::new()));
            if titles.last() != Some(&title) {
                titles.push(title.clone());
            }
        }
    }
    for (text, titles) in texts.into_values() {
        let _ = write!(notices, "\n{RULE}\n{}\n\n{text}\n", titles.join(", "));
    }
    notices
}

/// The text without what cannot be seen: white space at ends of lines, empty lines around it.
fn trimmed(text: &str) -> String {
    let lines: Vec<&str> = text
        .trim_start_matches('\u{feff}')
        .lines()
        .map(str::trim_end)
        .collect();
    lines.join("\n").trim_matches('\n').to_owned()
}

/// The first line that is in one and not in the other.
fn difference(wanted: &str, written: &str) -> Option<String> {
    let lines = |text: &str| {
        text.lines()
            .map(str::to_owned)
            .collect::<BTreeSet<String>>()
    };
    let (all, some) = (lines(wanted), lines(written));
    if let Some(missing) = wanted.lines().find(|line| !some.contains(*line)) {
        return Some(format!("it lacks the line \"{missing}\""));
    }
    if let Some(extra) = written.lines().find(|line| !all.contains(*line)) {
        return Some(format!("it has the line \"{extra}\""));
    }
    (wanted != written).then(|| "its lines are in another order".into())
}

#[cfg(test)]
mod tests {
    use super::{Entry, difference, merged, render};

    fn entry(name: &str, texts: &[&str]) -> Entry {
        Entry {
            name: name.into(),
            version: "1.0.0".into(),
            licence: "MIT".into(),
            source: "https://x".into(),
            texts: texts.iter().map(|&text| text.to_owned()).collect(),
        }
    }

    #[test]
    fn each_text_is_there_once() {
        let entries = vec![
            entry("b", &["A  text\r\nof it\n"]),
            entry("a", &["A text\n  of it", "another"]),
        ];
        let notices = render("x", merged(entries));
        assert_eq!(notices.matches("of it").count(), 1);
        assert!(
            notices.contains("a 1.0.0: MIT, https://x\nb 1.0.0: MIT, https://x\n"),
            "{notices}"
        );
        assert!(
            notices.contains("\na 1.0.0, b 1.0.0\n\nA text\n"),
            "{notices}"
        );
    }

    #[test]
    fn a_package_that_is_missing_is_named() {
        let whole = render("x", vec![entry("a", &["t"]), entry("b", &["u"])]);
        let without = render("x", vec![entry("a", &["t"])]);
        let said = difference(&whole, &without).unwrap();
        assert!(said.contains("lacks the line \"b 1.0.0: MIT"), "{said}");
        let said = difference(&without, &whole).unwrap();
        assert!(said.contains("has the line \"b 1.0.0: MIT"), "{said}");
        assert_eq!(difference(&whole, &whole), None);
    }
}
