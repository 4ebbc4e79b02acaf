//! Whether the npm package's types have every option of the runtime's table.

use anyhow::{Context, ensure};
use encoderfile::{Kind, OPTIONS, Surface};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// The members of an interface with their types.
fn members(source: &str, interface: &str) -> anyhow::Result<BTreeMap<String, String>> {
    let head = format!("export interface {interface} {{");
    let (_, rest) = source.split_once(&head).with_context(|| head.clone())?;
    let (body, _) = rest.split_once("\n}").context("an end")?;
    let members = body
        .lines()
        .filter_map(|line| line.trim().split_once("?: "));
    let members = members.map(|(name, kind)| (name.into(), kind.trim_end_matches(';').into()));
    Ok(members.collect())
}

#[test]
fn the_npm_package_has_every_option_or_a_reason() -> anyhow::Result<()> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../wasm/npm/src/types.ts");
    let members = members(&fs::read_to_string(source)?, "InferOptions")?;
    for row in OPTIONS {
        let expected = match row.kind {
            Kind::Flag | Kind::Bool => "boolean".to_owned(),
            Kind::Count => "number".into(),
            Kind::Text => "string".into(),
            Kind::Names | Kind::Texts => "string[]".into(),
            Kind::Choice(names) => {
                let names = names.iter().map(|(name, _)| format!("\"{name}\""));
                names.collect::<Vec<_>>().join(" | ")
            }
        };
        let found = members.get(row.name);
        let expected = row.absence(Surface::Npm).is_none().then_some(&expected);
        ensure!(
            found == expected,
            "`{}`: {found:?}, expected {expected:?}",
            row.name
        );
    }
    for name in members.keys() {
        ensure!(
            OPTIONS.iter().any(|row| row.name == name),
            "`{name}` is no option"
        );
    }
    Ok(())
}
