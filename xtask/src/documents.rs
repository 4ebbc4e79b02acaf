//! Tables in the repository's documents that programs write, each between two comments
//! with its name.
//!
//! **Invariant:** what a program wrote agrees between documents, and what a document calls
//! a file of this repository is one; the tests below check both.

#[cfg(test)]
mod paths;

use crate::workspace::Workspace;
use anyhow::Context;
use std::fs;

/// The first thing that anybody reads.
pub(crate) const README: &str = "README.md";

/// Puts the text in the place of that name.
pub(crate) fn write(
    workspace: &Workspace,
    document: &str,
    name: &str,
    text: &str,
) -> anyhow::Result<()> {
    let path = workspace.root.join(document);
    let whole = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let (before, _, after) =
        parts(&whole, name).with_context(|| format!("{document}: no place for the {name}"))?;
    fs::write(&path, format!("{before}\n{text}\n{after}"))?;
    println!("written to {}", workspace.shown(&path));
    Ok(())
}

/// Whether the document has a place of that name.
///
/// # Errors
/// If it has not.
pub(crate) fn check(workspace: &Workspace, document: &str, name: &str) -> anyhow::Result<()> {
    let path = workspace.root.join(document);
    let whole = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    parts(&whole, name).with_context(|| format!("{document}: no place for what is {name}"))?;
    Ok(())
}

/// What is before and after the text of that name, comments included, and the text.
fn parts<'a>(whole: &'a str, name: &str) -> Option<(&'a str, &'a str, &'a str)> {
    let (begin, end) = (
        format!("<!-- {name} -->\n"),
        format!("<!-- end of {name} -->"),
    );
    let begin = whole.find(&begin)? + begin.len();
    let end = begin + whole.get(begin..)?.find(&end)?;
    Some((
        whole.get(..begin)?,
        whole.get(begin..end)?,
        whole.get(end..)?,
    ))
}

#[cfg(test)]
mod tests {
    use super::parts;
    use crate::bench::SHOWN;

    #[test]
    fn a_text_is_found_by_its_name() {
        let readme = "a\n<!-- table -->\n\nold\n<!-- end of table -->\nb";
        let (before, text, after) = parts(readme, "table").unwrap();
        assert_eq!((before, text), ("a\n<!-- table -->\n", "\nold\n"));
        assert_eq!(after, "<!-- end of table -->\nb");
        assert!(parts(readme, "tables").is_none());
    }

    /// The cells of the row of that name: ours, what is beside it, and the ratio.
    fn row<'a>(table: &'a str, name: &str) -> Vec<&'a str> {
        let mut rows = table.lines().map(|line| {
            let cells = line.trim_matches('|').split('|').map(str::trim);
            cells.collect::<Vec<_>>()
        });
        let found = rows.find(|cells| cells[0] == name);
        let found = found.unwrap_or_else(|| panic!("no row {name:?} in {table}"));
        found[1..4].to_vec()
    }

    #[test]
    fn the_readme_shows_rows_of_the_benchmarks() {
        let readme = include_str!("../../README.md");
        let (_, shown, _) = parts(readme, "benchmarks").unwrap();
        let page = include_str!("../../BENCHMARKS.md");
        // Of the kind of processor that it names.
        let machine = shown.lines().find(|line| line.starts_with("Machine: "));
        let mut tables = ["avx512", "avx2"].into_iter().filter_map(|isa| {
            let (_, table, _) = parts(page, &format!("measured with {isa}"))?;
            table.contains(machine?).then_some(table)
        });
        let measured = tables.next().expect("no table of the README's machine");
        for (name, in_readme) in SHOWN {
            assert_eq!(row(shown, in_readme), row(measured, name), "{name}");
        }
        let machine = shown.lines().find(|line| line.starts_with("Machine: "));
        assert!(measured.contains(machine.unwrap()), "another machine");
    }
}
