//! What a program is made of: the packages that cargo links into it for some targets, what they
//! say of themselves, and the hashes that Cargo.lock has of them. Procedural macros and what build
//! scripts use are in no program.

use crate::process;
use crate::workspace::Workspace;
use anyhow::{Context, ensure};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

/// A package as cargo tells one from another here.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Id {
    pub(crate) name: String,
    pub(crate) version: String,
}

impl fmt::Display for Id {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", self.name, self.version)
    }
}

/// What a package says of itself in its Cargo.toml.
#[derive(Clone)]
pub(crate) struct Package {
    /// An SPDX expression.
    pub(crate) licence: String,
    pub(crate) repository: Option<String>,
    /// Where its sources are.
    pub(crate) folder: PathBuf,
    /// Whether it is of this workspace.
    pub(crate) is_ours: bool,
}

/// All packages of Cargo.lock that anything is built of.
pub(crate) struct Packages {
    packages: BTreeMap<Id, Package>,
    /// The SHA-256 of each package's archive in the registry, in hexadecimal.
    checksums: BTreeMap<Id, String>,
}

/// What is linked into one program.
pub(crate) struct Linked {
    pub(crate) root: Id,
    /// Every package, the root too, and those that it links directly.
    pub(crate) dependencies: BTreeMap<Id, BTreeSet<Id>>,
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<MetadataPackage>,
}

#[derive(Deserialize)]
struct MetadataPackage {
    name: String,
    version: String,
    license: Option<String>,
    repository: Option<String>,
    /// `None` for a package of this workspace.
    source: Option<String>,
    manifest_path: PathBuf,
}

impl Packages {
    /// Reads what cargo and Cargo.lock say, after cargo has fetched what is not here yet.
    pub(crate) fn read(workspace: &Workspace) -> anyhow::Result<Self> {
        let mut metadata = workspace.cargo(&["metadata", "--locked", "--format-version", "1"]);
        let metadata: Metadata = serde_json::from_str(&process::capture(&mut metadata)?)
            .context("the output of `cargo metadata`")?;
        let packages = metadata.packages.into_iter().map(described);
        let lock = workspace.root.join("Cargo.lock");
        let lock = fs::read_to_string(&lock).with_context(|| lock.display().to_string())?;
        Ok(Self {
            packages: packages.collect::<anyhow::Result<_>>()?,
            checksums: checksums(&lock),
        })
    }

    /// What the package says of itself.
    pub(crate) fn get(&self, id: &Id) -> anyhow::Result<&Package> {
        let package = self.packages.get(id);
        package.with_context(|| format!("`cargo metadata` has no {id}, which `cargo tree` has"))
    }

    /// The newest package of that name.
    pub(crate) fn named(&self, name: &str) -> Option<(&Id, &Package)> {
        self.packages.iter().rev().find(|(id, _)| id.name == name)
    }

    /// The SHA-256 of the package's archive, in hexadecimal; `None` for one of ours.
    pub(crate) fn checksum(&self, id: &Id) -> Option<&str> {
        self.checksums.get(id).map(String::as_str)
    }
}

fn described(package: MetadataPackage) -> anyhow::Result<(Id, Package)> {
    let MetadataPackage { name, version, .. } = package;
    let licence = package
        .license
        .with_context(|| format!("{name} {version} states no licence in its Cargo.toml"))?;
    let folder = package.manifest_path.parent().map(PathBuf::from);
    let described = Package {
        // An older way to write it, which is no SPDX.
        licence: licence.replace(" / ", " OR ").replace('/', " OR "),
        repository: package.repository,
        folder: folder.with_context(|| format!("{name} {version} has no folder"))?,
        is_ours: package.source.is_none(),
    };
    Ok((Id { name, version }, described))
}

/// The checksums in a Cargo.lock, which cargo writes a key a line.
fn checksums(lock: &str) -> BTreeMap<Id, String> {
    let value = |package: &str, key: &str| {
        let mut lines = package.lines();
        let value = lines.find_map(|line| line.strip_prefix(key)?.strip_prefix(" = "))?;
        Some(value.trim_matches('"').to_owned())
    };
    let packages = lock.split("[[package]]").filter_map(|package| {
        let (name, version) = (value(package, "name")?, value(package, "version")?);
        Some((Id { name, version }, value(package, "checksum")?))
    });
    packages.collect()
}

impl Linked {
    /// What `cargo build --package PACKAGE` links for any of the targets.
    pub(crate) fn into(
        workspace: &Workspace,
        package: &str,
        targets: &[&str],
    ) -> anyhow::Result<Self> {
        let mut tree = workspace.cargo(&["tree", "--locked", "--package", package]);
        tree.args(["--edges", "normal,no-proc-macro"]);
        tree.args(["--prefix", "depth", "--format", " {p}"]);
        for target in targets {
            tree.args(["--target", target]);
        }
        Self::parse(&process::capture(&mut tree)?)
            .with_context(|| format!("`cargo tree --package {package}`"))
    }

    /// Reads lines such as `2 bytes v1.12.1`: depth, name and version.
    fn parse(tree: &str) -> anyhow::Result<Self> {
        let mut dependencies = BTreeMap::<Id, BTreeSet<Id>>::new();
        // From the root to the package of the line before.
        let mut path: Vec<Id> = Vec::new();
        for line in tree.lines().filter(|line| !line.is_empty()) {
            let (depth, id) = entry(line).with_context(|| format!("a line of it: {line}"))?;
            ensure!(
                depth <= path.len(),
                "a package without the one that links it: {line}"
            );
            path.truncate(depth);
            if let Some(above) = path.last() {
                dependencies
                    .entry(above.clone())
                    .or_default()
                    .insert(id.clone());
            }
            dependencies.entry(id.clone()).or_default();
            path.push(id);
        }
        Ok(Self {
            root: path.into_iter().next().context("no package")?,
            dependencies,
        })
    }
}

fn entry(line: &str) -> Option<(usize, Id)> {
    let mut words = line.split_whitespace();
    let depth = words.next()?.parse().ok()?;
    let name = words.next()?.to_owned();
    let version = words.next()?.strip_prefix('v')?.to_owned();
    Some((depth, Id { name, version }))
}

/// The version of the compiler, whose standard library is in every program: `1.95.0`.
pub(crate) fn compiler_version(workspace: &Workspace) -> anyhow::Result<String> {
    let said = process::capture(&mut workspace.command("rustc", &["-vV"]))?;
    let release = said.lines().find_map(|line| line.strip_prefix("release: "));
    Ok(release.context("`rustc -vV` names no release")?.to_owned())
}

/// Where the compiler is installed.
pub(crate) fn sysroot() -> anyhow::Result<PathBuf> {
    let sysroot = process::capture(Command::new("rustc").args(["--print", "sysroot"]))?;
    Ok(PathBuf::from(sysroot.trim_end()))
}

#[cfg(test)]
mod tests {
    use super::{Id, Linked, checksums};

    fn id(name: &str, version: &str) -> Id {
        Id {
            name: name.into(),
            version: version.into(),
        }
    }

    #[test]
    fn a_tree_gives_packages_and_what_each_links() {
        let linked = Linked::parse("0 a v1.0.0 (/a)\n1 b v2.0.0+x\n2 c v3.0.0\n1 c v3.0.0 (*)\n\n0 a v1.0.0 (/a)\n1 d v1.0.0\n").unwrap();
        assert_eq!(linked.root, id("a", "1.0.0"));
        let of = |id: &Id| {
            linked.dependencies[id]
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
        };
        assert_eq!(of(&linked.root), ["b 2.0.0+x", "c 3.0.0", "d 1.0.0"]);
        assert_eq!(of(&id("b", "2.0.0+x")), ["c 3.0.0"]);
        assert!(of(&id("c", "3.0.0")).is_empty());
    }

    #[test]
    fn a_lock_file_gives_checksums() {
        let lock = "version = 4\n\n[[package]]\nname = \"a\"\nversion = \"1.0.0\"\nsource = \"registry\"\nchecksum = \"ab\"\n\n[[package]]\nname = \"ours\"\nversion = \"0.1.0\"\n";
        let checksums = checksums(lock);
        assert_eq!(checksums.len(), 1);
        assert_eq!(checksums[&id("a", "1.0.0")], "ab");
    }
}
