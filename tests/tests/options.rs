//! Whether the npm package's types and the reference page have every option of the
//! runtime's table. `SNAPSHOTS=overwrite cargo test --test options` writes the page's.

use anyhow::{Context, ensure};
use encoderfile::{Kind, OPTIONS, OptionRow, Surface};
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
    let members = body
        .lines()
        .filter_map(|line| line.trim().split_once("?: "));
    let members = members.map(|(name, kind)| (name.into(), kind.trim_end_matches(';').into()));
    Ok(members.collect())
}

#[test]
fn the_npm_package_has_every_option_or_a_reason() -> anyhow::Result<()> {
    let source = programs::root().join("wasm/npm/src/types.ts");
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

/// What an option takes, in a cell of a table.
fn taken(row: &OptionRow) -> String {
    match row.kind {
        Kind::Flag => "a flag".into(),
        Kind::Bool => "`true`, `false`".into(),
        Kind::Count => "a count".into(),
        Kind::Text => "a text".into(),
        Kind::Names | Kind::Texts => "texts".into(),
        Kind::Choice(names) => {
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
        let Kind::Choice(values) = row.kind else {
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
