//! Texts from arguments, a file or standard input.

use crate::cli::Texts;
use anyhow::{Context, bail, ensure};
use serde::Deserialize;
use std::fs;
use std::io::Read;
use std::path::Path;

/// A JSON line: the text, and whatever else the caller keeps beside it.
#[derive(Deserialize)]
struct Line {
    text: String,
}

/// All texts, in order; at least one.
pub(crate) fn read(texts: &Texts) -> anyhow::Result<Vec<String>> {
    let Some(path) = &texts.input else {
        ensure!(
            !texts.texts.is_empty(),
            "no texts: give them as arguments, or with --input FILE (`-` for standard input)"
        );
        return Ok(texts.texts.clone());
    };
    let (name, bytes) = read_all(path)?;
    let content = String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        anyhow::anyhow!("{name}: invalid UTF-8 at byte {valid}")
    })?;
    let content = content.strip_prefix('\u{feff}').unwrap_or(&content);
    let lines = parse_lines(content).with_context(|| name.clone())?;
    if lines.is_empty() {
        bail!("{name}: no texts in it");
    }
    Ok(lines)
}

fn read_all(path: &Path) -> anyhow::Result<(String, Vec<u8>)> {
    if path == Path::new("-") {
        let mut bytes = Vec::new();
        std::io::stdin()
            .read_to_end(&mut bytes)
            .context("standard input")?;
        return Ok(("standard input".into(), bytes));
    }
    let name = path.display().to_string();
    let bytes = fs::read(path).with_context(|| name.clone())?;
    Ok((name, bytes))
}

/// JSON lines if the first line is a JSON object with a `text`, else a text a
/// line. An empty line is an empty text, which is a valid one; only JSON lines
/// may have blank ones between them.
fn parse_lines(content: &str) -> anyhow::Result<Vec<String>> {
    let is_json = content
        .lines()
        .next()
        .is_some_and(|line| serde_json::from_str::<Line>(line).is_ok());
    if !is_json {
        return Ok(content.lines().map(str::to_owned).collect());
    }
    let lines = content.lines().enumerate();
    lines
        .filter(|(_, line)| !line.trim().is_empty())
        .map(|(index, line)| {
            let parsed: Line = serde_json::from_str(line)
                .with_context(|| format!("line {}: not a JSON object with a `text`", index + 1))?;
            Ok(parsed.text)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::parse_lines;

    #[test]
    fn plain_lines_are_texts_even_when_empty() {
        assert_eq!(parse_lines("a\n\nb\r\n").unwrap(), ["a", "", "b"]);
        assert_eq!(parse_lines("[1]\n").unwrap(), ["[1]"]);
    }

    #[test]
    fn json_lines_give_their_text() {
        let lines = "{\"id\": 1, \"text\": \"a\\nb\"}\n\n{\"text\": \"\"}\n";
        assert_eq!(parse_lines(lines).unwrap(), ["a\nb", ""]);
    }

    #[test]
    fn a_json_line_without_text_is_named() {
        let error = parse_lines("{\"text\": \"a\"}\n{\"txt\": 1}\n").unwrap_err();
        assert!(format!("{error:#}").starts_with("line 2:"), "{error:#}");
    }
}
