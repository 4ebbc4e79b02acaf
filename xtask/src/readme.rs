//! Tables in README.md that programs write, each between two comments with its name.

use crate::workspace::Workspace;
use anyhow::Context;
use std::fs;

/// Puts the text in the place of that name.
pub(crate) fn write(workspace: &Workspace, name: &str, text: &str) -> anyhow::Result<()> {
    let path = workspace.root.join("README.md");
    let readme = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let (before, _, after) =
        parts(&readme, name).with_context(|| format!("README.md: no place for the {name}"))?;
    fs::write(&path, format!("{before}\n{text}\n{after}"))?;
    println!("written to {}", workspace.shown(&path));
    Ok(())
}

/// What is before and after the text of that name, comments included, and the text.
fn parts<'a>(readme: &'a str, name: &str) -> Option<(&'a str, &'a str, &'a str)> {
    let (begin, end) = (
        format!("<!-- {name} -->\n"),
        format!("<!-- end of {name} -->"),
    );
    let begin = readme.find(&begin)? + begin.len();
    let end = begin + readme.get(begin..)?.find(&end)?;
    Some((
        readme.get(..begin)?,
        readme.get(begin..end)?,
        readme.get(end..)?,
    ))
}

#[cfg(test)]
mod tests {
    use super::parts;

    #[test]
    fn a_text_is_found_by_its_name() {
        let readme = "a\n<!-- table -->\n\nold\n<!-- end of table -->\nb";
        let (before, text, after) = parts(readme, "table").unwrap();
        assert_eq!((before, text), ("a\n<!-- table -->\n", "\nold\n"));
        assert_eq!(after, "<!-- end of table -->\nb");
        assert!(parts(readme, "tables").is_none());
    }

    #[test]
    fn the_benchmarks_are_those_of_their_file() {
        let readme = include_str!("../../README.md");
        let (_, shown, _) = parts(readme, "benchmarks").unwrap();
        assert!(shown.contains("| 128 tokens"), "{shown}");
        let whole = include_str!("../../BENCHMARKS.md");
        assert!(
            whole.contains(shown.trim()),
            "`cargo xtask bench --write BENCHMARKS.md` writes both"
        );
    }
}
