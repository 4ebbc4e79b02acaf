//! `cargo xtask sbom`: what a program is made of as a bill of materials, CycloneDX 1.6 in JSON.
//!
//! **Invariant:** the same Cargo.lock, toolchain and target give the same bytes: there is no time in it,
//! and its serial number is made of what it says.

use crate::notices::{self, Entry};
use crate::packages::{Id, Linked, Packages};
use crate::workspace::Workspace;
use anyhow::Context;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

/// `cargo xtask sbom`
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// encoderfile-builder (the command), encoderfile-host (base programs) or encoderfile-wasm (the npm
    /// package's module)
    package: String,

    /// The target that it is built for [default: this machine's]
    #[arg(long, value_name = "TRIPLE")]
    target: Option<String>,

    /// Where to write
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
}

/// Writes the bill that was asked for.
pub(crate) fn run(workspace: &Workspace, arguments: &Arguments) -> anyhow::Result<()> {
    let target = arguments.target.as_deref().unwrap_or(&workspace.host);
    let packages = Packages::read(workspace)?;
    write(
        workspace,
        &packages,
        (&arguments.package, target),
        &arguments.output,
    )?;
    println!("written to {}", workspace.shown(&arguments.output));
    Ok(())
}

/// Writes what is linked into a package's program for a target to `output`.
///
/// # Errors
/// If cargo knows no such package or target, or the file cannot be written.
pub(crate) fn write(
    workspace: &Workspace,
    packages: &Packages,
    (package, target): (&str, &str),
    output: &Path,
) -> anyhow::Result<()> {
    let linked = Linked::into(workspace, package, &[target])?;
    let toolchain = notices::of_toolchain(workspace, &[target])?;
    let bill = bill(packages, &linked, &toolchain, target)?;
    let text = serde_json::to_string_pretty(&bill)? + "\n";
    fs::write(output, text).with_context(|| output.display().to_string())
}

fn bill(
    packages: &Packages,
    linked: &Linked,
    toolchain: &[Entry],
    target: &str,
) -> anyhow::Result<Value> {
    let root = &linked.root;
    let mut program = component(packages, root)?;
    program.insert("type".into(), "application".into());
    let target = json!([{"name": "encoderfile:target", "value": target}]);
    program.insert("properties".into(), target);
    let others = linked.dependencies.keys().filter(|id| *id != root);
    let mut components = others
        .map(|id| component(packages, id).map(Value::Object))
        .collect::<anyhow::Result<Vec<Value>>>()?;
    components.extend(toolchain.iter().map(of_toolchain));
    let mut dependencies = Vec::new();
    for (id, needs) in &linked.dependencies {
        let mut needs = needs
            .iter()
            .map(|id| reference(packages, id))
            .collect::<anyhow::Result<Vec<_>>>()?;
        if id == root {
            needs.extend(toolchain.iter().map(title));
        }
        dependencies.push(json!({"ref": reference(packages, id)?, "dependsOn": needs}));
    }
    let mut bill = json!({
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": program},
        "components": components,
        "dependencies": dependencies,
    });
    let serial = serial_number(&serde_json::to_vec(&bill)?);
    if let Some(fields) = bill.as_object_mut() {
        fields.insert("serialNumber".into(), serial.into());
    }
    Ok(bill)
}

fn component(packages: &Packages, id: &Id) -> anyhow::Result<Map<String, Value>> {
    let package = packages.get(id)?;
    let mut fields = Map::new();
    fields.insert("type".into(), "library".into());
    fields.insert("bom-ref".into(), reference(packages, id)?.into());
    fields.insert("name".into(), id.name.clone().into());
    fields.insert("version".into(), id.version.clone().into());
    if let Some(checksum) = packages.checksum(id) {
        let hashes = json!([{"alg": "SHA-256", "content": checksum}]);
        fields.insert("hashes".into(), hashes);
    }
    fields.insert("licenses".into(), json!([{"expression": package.licence}]));
    if !package.is_ours {
        fields.insert("purl".into(), purl(id).into());
    }
    if let Some(url) = &package.repository {
        let references = json!([{"type": "vcs", "url": url}]);
        fields.insert("externalReferences".into(), references);
    }
    Ok(fields)
}

/// What is linked and is of no package of Cargo.lock.
fn of_toolchain(entry: &Entry) -> Value {
    let mut component = json!({
        "type": "library",
        "bom-ref": title(entry),
        "name": entry.name,
        "licenses": [{"expression": entry.licence}],
        "externalReferences": [{"type": "website", "url": entry.source}],
    });
    if let Some(fields) = component
        .as_object_mut()
        .filter(|_| !entry.version.is_empty())
    {
        fields.insert("version".into(), entry.version.clone().into());
    }
    component
}

/// What tells it from packages of the same name.
fn title(entry: &Entry) -> String {
    format!(
        "toolchain:{}@{}",
        entry.name.replace(' ', "-"),
        entry.version
    )
}

/// How other parts of the bill call a package.
fn reference(packages: &Packages, id: &Id) -> anyhow::Result<String> {
    if packages.get(id)?.is_ours {
        return Ok(format!("{}@{}", id.name, id.version));
    }
    Ok(purl(id))
}

/// A package URL: <https://github.com/package-url/purl-spec>.
fn purl(id: &Id) -> String {
    format!("pkg:cargo/{}@{}", id.name, id.version.replace('+', "%2B"))
}

/// A UUID of version 8, which may be made of whatever one likes: of the content's SHA-256.
fn serial_number(content: &[u8]) -> String {
    let mut bytes = [0; 16];
    for (byte, of_hash) in bytes.iter_mut().zip(Sha256::digest(content)) {
        *byte = of_hash;
    }
    let number = u128::from_be_bytes(bytes) & !(0xf << 76 | 0x3 << 62) | 0x8 << 76 | 0x2 << 62;
    let digits = format!("{number:032x}");
    let mut serial = String::from("urn:uuid:");
    for (index, digit) in digits.char_indices() {
        if [8, 12, 16, 20].contains(&index) {
            serial.push('-');
        }
        let _ = write!(serial, "{digit}");
    }
    serial
}

#[cfg(test)]
mod tests {
    use super::{purl, serial_number};
    use crate::packages::Id;

    #[test]
    fn a_package_url_has_no_plus() {
        let id = Id {
            name: "zstd-sys".into(),
            version: "2.1.2+zstd.1.5.7".into(),
        };
        assert_eq!(purl(&id), "pkg:cargo/zstd-sys@2.1.2%2Bzstd.1.5.7");
    }

    #[test]
    fn a_serial_number_is_made_of_the_content() {
        // The SHA-256 of nothing is e3b0c442 98fc 1c14 9afb f4c8996fb924….
        assert_eq!(
            serial_number(b""),
            "urn:uuid:e3b0c442-98fc-8c14-9afb-f4c8996fb924"
        );
        assert_ne!(serial_number(b"a"), serial_number(b""));
    }
}
