//! Whether the npm package's types and the reference page have every option of the
//! runtime's table. `SNAPSHOTS=overwrite cargo test --test options` writes the page's.

use anyhow::{Context, ensure};
use encoderfile::{OPTIONS, OptionKind, OptionRow, Surface};
use encoderfile_tests::programs;
use std::collections::BTreeMap;
use std::env;
use std::fs;

/// Where the reference page has the options.
const BEGIN: &str = "<!-- options -->\n";
const END: &str = "<!-- end of options -->";

/// The members of an interface with their types.
fn members(source: &str, interface: &str) -> anyhow::Result<BTreeMap<String, String>> {
    let head = format!("export interface {interface} {{");
    let (_, rest) = source.split_once(&head).with_context(|| head.clone())?;
    let (body, _) = rest.split_once("\n}").context("an end")?;
    let is_member = |line: &&str| !line.is_empty() && !line.starts_with(['/', '*']);
    let members = body.lines().map(str::trim).filter(is_member).map(|line| {
        let (name, kind) = line.split_once("?: ").with_context(|| line.to_owned())?;
        Ok((name.into(), kind.trim_end_matches(';').into()))
    });
    members.collect()
}

#[test]
fn the_npm_package_has_every_option_or_a_reason() -> anyhow::Result<()> {
    let source = programs::root().join("wasm/npm/src/types.ts");
    let members = members(&fs::read_to_string(source)?, "InferOptions")?;
    for row in OPTIONS {
        let expected = match row.kind {
            OptionKind::Flag | OptionKind::Bool => "boolean".to_owned(),
            OptionKind::Count => "number".into(),
            OptionKind::Text => "string".into(),
            OptionKind::Names | OptionKind::Texts => "string[]".into(),
            OptionKind::Choice(names) => {
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

/// What an option takes, in a cell of a table.
fn taken(row: &OptionRow) -> String {
    match row.kind {
        OptionKind::Flag => "a flag".into(),
        OptionKind::Bool => "`true`, `false`".into(),
        OptionKind::Count => "a count".into(),
        OptionKind::Text => "a text".into(),
        OptionKind::Names | OptionKind::Texts => "texts".into(),
        OptionKind::Choice(names) => {
            let names = names.iter().map(|(name, _)| format!("`{name}`"));
            names.collect::<Vec<_>>().join(", ")
        }
    }
}

fn absences(row: &OptionRow) -> String {
    let absent = row.absent.iter().map(|(surface, why)| {
        let surface = match surface {
            Surface::Cli => "CLI",
            Surface::Grpc => "gRPC",
            Surface::Mcp => "MCP",
            Surface::Npm => "npm",
        };
        format!("{surface}: {why}")
    });
    absent.collect::<Vec<_>>().join("; ")
}

/// The table as the page has it: the options, then the values of those that choose.
fn reference() -> String {
    let mut lines = vec![
        "| option | takes | default | what it does | not in |".to_owned(),
        "|---|---|---|---|---|".into(),
    ];
    for row in OPTIONS {
        let alias = row.alias.map(|alias| format!(" (`{alias}`)"));
        let (alias, taken) = (alias.unwrap_or_default(), taken(row));
        let (name, default) = (row.name, row.default.unwrap_or_default());
        let (about, absent) = (row.about.trim(), absences(row));
        lines.push(format!(
            "| `{name}`{alias} | {taken} | {default} | {about} | {absent} |"
        ));
    }
    lines.extend(["", "| value | means |", "|---|---|"].map(str::to_owned));
    for row in OPTIONS {
        let OptionKind::Choice(values) = row.kind else {
            continue;
        };
        for (value, about) in values {
            let about = about.trim().trim_end_matches('.');
            lines.push(format!("| `{}={value}` | {about} |", row.name));
        }
    }
    format!("\n{}\n\n", lines.join("\n"))
}

#[test]
fn the_reference_page_has_every_option() -> anyhow::Result<()> {
    let path = programs::root().join("docs/reference.md");
    let page = fs::read_to_string(&path)?;
    let (before, rest) = page.split_once(BEGIN).context(BEGIN)?;
    let (written, after) = rest.split_once(END).context(END)?;
    let expected = reference();
    if env::var_os("SNAPSHOTS").is_some_and(|it| it == "overwrite") {
        fs::write(path, format!("{before}{BEGIN}{expected}{END}{after}"))?;
        return Ok(());
    }
    ensure!(
        written == expected,
        "docs/reference.md is not the table of options; \
         `SNAPSHOTS=overwrite cargo test --test options` writes it:\n{expected}"
    );
    Ok(())
}
