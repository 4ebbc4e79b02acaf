//! Texts and pairs from arguments, a file or standard input.

use crate::cli::Texts;
use anyhow::{Context, bail, ensure};
use encoderfile_runtime::Input;
use serde::Deserialize;
use std::fs;
use std::io::Read;
use std::path::Path;

/// A text or a pair; in a JSON line, whatever else the caller keeps beside it is ignored.
#[derive(Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Item {
    text: String,
    text_pair: Option<String>,
}

impl Item {
    fn text(text: &str) -> Self {
        Self {
            text: text.to_owned(),
            text_pair: None,
        }
    }

    /// As the runtime takes it.
    pub(crate) fn input(&self) -> Input<'_> {
        Input {
            text: &self.text,
            text_pair: self.text_pair.as_deref(),
        }
    }
}

/// All texts, in order; at least one.
pub(crate) fn read(texts: &Texts) -> anyhow::Result<Vec<Item>> {
    let Some(path) = &texts.input else {
        return pair_up(&texts.texts, &texts.pair);
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

/// Every text with its second text: the only one that was given, or its own.
fn pair_up(texts: &[String], pairs: &[String]) -> anyhow::Result<Vec<Item>> {
    ensure!(
        !texts.is_empty(),
        "no texts: give them as arguments, or with --input FILE (`-` for standard input)"
    );
    ensure!(
        pairs.len() <= 1 || pairs.len() == texts.len(),
        "{} texts and {} times --pair: give it once, or once for each text",
        texts.len(),
        pairs.len()
    );
    let items = texts.iter().enumerate().map(|(index, text)| Item {
        text: text.clone(),
        text_pair: pairs.get(index).or(pairs.first()).cloned(),
    });
    Ok(items.collect())
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
fn parse_lines(content: &str) -> anyhow::Result<Vec<Item>> {
    let is_json = content
        .lines()
        .next()
        .is_some_and(|line| serde_json::from_str::<Item>(line).is_ok());
    if !is_json {
        return Ok(content.lines().map(Item::text).collect());
    }
    let lines = content.lines().enumerate();
    lines
        .filter(|(_, line)| !line.trim().is_empty())
        .map(|(index, line)| {
            serde_json::from_str(line).with_context(|| {
                format!(
                    "line {}: not a JSON object with a `text` and perhaps a `text_pair`",
                    index + 1
                )
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{Item, pair_up, parse_lines};

    fn texts(items: &[Item]) -> Vec<&str> {
        items.iter().map(|item| item.text.as_str()).collect()
    }

    #[test]
    fn plain_lines_are_texts_even_when_empty() {
        assert_eq!(texts(&parse_lines("a\n\nb\r\n").unwrap()), ["a", "", "b"]);
        assert_eq!(texts(&parse_lines("[1]\n").unwrap()), ["[1]"]);
    }

    #[test]
    fn json_lines_give_their_texts() {
        let lines = "{\"id\": 1, \"text\": \"a\\nb\"}\n\n{\"text\": \"\", \"text_pair\": \"c\"}\n";
        let items = parse_lines(lines).unwrap();
        assert_eq!(texts(&items), ["a\nb", ""]);
        assert_eq!(items[0].text_pair, None);
        assert_eq!(items[1].text_pair.as_deref(), Some("c"));
    }

    #[test]
    fn a_json_line_without_text_is_named() {
        let error = parse_lines("{\"text\": \"a\"}\n{\"txt\": 1}\n").unwrap_err();
        assert!(format!("{error:#}").starts_with("line 2:"), "{error:#}");
    }

    #[test]
    fn second_texts_go_to_all_or_each_to_one() {
        let strings = |texts: &[&str]| texts.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>();
        let pairs = |pairs: &[&str]| {
            let items = pair_up(&strings(&["a", "b"]), &strings(pairs));
            items.map(|items| {
                let seconds = items.into_iter().map(|item| item.text_pair);
                seconds.map(Option::unwrap_or_default).collect::<Vec<_>>()
            })
        };
        assert_eq!(pairs(&[]).unwrap(), ["", ""]);
        assert_eq!(pairs(&["x"]).unwrap(), ["x", "x"]);
        assert_eq!(pairs(&["x", "y"]).unwrap(), ["x", "y"]);
        assert!(pairs(&["x", "y", "z"]).is_err());
    }
}
