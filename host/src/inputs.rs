//! Texts and pairs from arguments, a file or standard input, read as they are needed.

use crate::cli::Texts;
use anyhow::{Context, ensure};
use encoderfile_runtime::Input;
use encoderfile_runtime::json::{self, Nulls};
use serde::Deserialize;
use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

/// So many texts are read before anything is computed, so that most mistakes
/// are found before there is any output.
const AHEAD: usize = 1024;

/// What waits for the first result before it writes the second text gets it.
const ONE_BY_ONE: usize = 1;

/// A text or a pair; in a JSON line, whatever else the caller keeps beside it is ignored.
#[derive(Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Item {
    text: String,
    text_pair: Option<String>,
}

impl Item {
    /// From a JSON object; the rest of it is the caller's.
    fn read(line: &str) -> serde_json::Result<Self> {
        serde_json::from_slice(&json::mend(line.as_bytes(), &Nulls::ALL)?)
    }

    /// As the runtime takes it.
    pub(crate) fn input(&self) -> Input<'_> {
        match &self.text_pair {
            Some(pair) => Input::Pair(&self.text, pair),
            None => Input::Text(&self.text),
        }
    }
}

/// Texts in order; at least one.
pub(crate) struct Items {
    ahead: VecDeque<Item>,
    /// `None` when everything has been read.
    rest: Option<Lines>,
    /// How many there are, if that is known.
    total: Option<usize>,
}

impl Items {
    /// Finds the texts, and reads the first of them: of standard input only one,
    /// where each result is written `as_they_come`.
    pub(crate) fn open(texts: &Texts, as_they_come: bool) -> anyhow::Result<Self> {
        match &texts.input {
            None => Ok(Self::known(pair_up(&texts.texts, &texts.pair)?)),
            Some(path) if as_they_come && is_stdin(path) => {
                Self::read_ahead(Lines::open(path)?, ONE_BY_ONE)
            }
            Some(path) => Self::read_ahead(Lines::open(path)?, AHEAD),
        }
    }

    fn known(items: Vec<Item>) -> Self {
        Self {
            total: Some(items.len()),
            ahead: items.into(),
            rest: None,
        }
    }

    fn read_ahead(mut lines: Lines, texts: usize) -> anyhow::Result<Self> {
        let mut ahead = Vec::new();
        while ahead.len() < texts {
            match lines.next() {
                Some(item) => ahead.push(item?),
                None if ahead.is_empty() => anyhow::bail!("{}: no texts in it", lines.name),
                None => return Ok(Self::known(ahead)),
            }
        }
        Ok(Self {
            ahead: ahead.into(),
            rest: Some(lines),
            total: None,
        })
    }

    /// How many texts there are; `None` for more than are read ahead.
    pub(crate) fn total(&self) -> Option<usize> {
        self.total
    }
}

impl Iterator for Items {
    type Item = anyhow::Result<Item>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.ahead.pop_front() {
            Some(item) => Some(Ok(item)),
            None => self.rest.as_mut()?.next(),
        }
    }
}

fn is_stdin(path: &Path) -> bool {
    path == Path::new("-")
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

/// The lines of a file or of standard input.
///
/// JSON lines if the first line is a JSON object with a `text`, else a text a
/// line. An empty line is an empty text, which is a valid one; only JSON lines
/// may have blank ones between them.
struct Lines {
    /// For messages.
    name: String,
    reader: Box<dyn BufRead + Send>,
    is_json: bool,
    line: usize,
    /// Bytes read before the next line.
    offset: usize,
}

impl Lines {
    fn open(path: &Path) -> anyhow::Result<Self> {
        if is_stdin(path) {
            let stdin = BufReader::new(std::io::stdin());
            return Ok(Self::new("standard input", stdin));
        }
        let name = path.display().to_string();
        let file = File::open(path).with_context(|| name.clone())?;
        Ok(Self::new(&name, BufReader::new(file)))
    }

    fn new(name: &str, reader: impl BufRead + Send + 'static) -> Self {
        Self {
            name: name.into(),
            reader: Box::new(reader),
            is_json: false,
            line: 0,
            offset: 0,
        }
    }

    /// The next line without its end; `None` after the last.
    fn read_line(&mut self) -> anyhow::Result<Option<String>> {
        let mut bytes = Vec::new();
        let read = self.reader.by_ref().read_until(b'\n', &mut bytes)?;
        if read == 0 {
            return Ok(None);
        }
        let mut line = String::from_utf8(bytes).map_err(|error| {
            let valid = error.utf8_error().valid_up_to();
            anyhow::anyhow!("invalid UTF-8 at byte {}", self.offset + valid)
        })?;
        self.offset += read;
        self.line += 1;
        if line.ends_with('\n') {
            line.pop();
            if line.ends_with('\r') {
                line.pop();
            }
        }
        if self.line == 1 {
            if let Some(rest) = line.strip_prefix('\u{feff}') {
                line = rest.to_owned();
            }
            self.is_json = Item::read(&line).is_ok();
        }
        Ok(Some(line))
    }

    fn read_item(&mut self) -> anyhow::Result<Option<Item>> {
        loop {
            let Some(line) = self.read_line()? else {
                return Ok(None);
            };
            if !self.is_json {
                return Ok(Some(Item {
                    text: line,
                    text_pair: None,
                }));
            }
            if line.trim().is_empty() {
                continue;
            }
            let item = Item::read(&line);
            return item.map(Some).with_context(|| {
                format!(
                    "line {}: not a JSON object with a `text` and perhaps a `text_pair`",
                    self.line
                )
            });
        }
    }
}

impl Iterator for Lines {
    type Item = anyhow::Result<Item>;

    fn next(&mut self) -> Option<Self::Item> {
        let item = self.read_item().transpose()?;
        Some(item.with_context(|| self.name.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::{AHEAD, Item, Items, Lines, pair_up};

    fn lines(content: &'static str) -> anyhow::Result<Vec<Item>> {
        Lines::new("f", content.as_bytes()).collect()
    }

    fn texts(content: &'static str) -> Vec<String> {
        let items = lines(content).unwrap().into_iter();
        items.map(|item| item.text).collect()
    }

    #[test]
    fn plain_lines_are_texts_even_when_empty() {
        assert_eq!(texts("a\n\nb\r\n"), ["a", "", "b"]);
        assert_eq!(texts("\u{feff}[1]\nb"), ["[1]", "b"]);
    }

    #[test]
    fn json_lines_give_their_texts() {
        let content =
            "{\"id\": 1, \"text\": \"a\\nb\"}\n\n{\"text\": \"\", \"text_pair\": \"c\"}\n";
        assert_eq!(texts(content), ["a\nb", ""]);
        let items = lines(content).unwrap();
        assert_eq!(items[0].text_pair, None);
        assert_eq!(items[1].text_pair.as_deref(), Some("c"));
        let halves =
            r#"{"text": "\ud83da\ud83d\ude00\\ud800", "text_pair": null, "note": "\udc00"}"#;
        assert_eq!(texts(halves), ["\u{fffd}a\u{1f600}\\ud800"]);
    }

    #[test]
    fn a_line_that_cannot_be_read_is_named() {
        let error = lines("{\"text\": \"a\"}\n{\"txt\": 1}\n").unwrap_err();
        assert!(format!("{error:#}").starts_with("f: line 2:"), "{error:#}");
        let bytes: &[u8] = b"ab\nc\xff\n";
        let error = Lines::new("f", bytes).nth(1).unwrap().unwrap_err();
        assert_eq!(format!("{error:#}"), "f: invalid UTF-8 at byte 4");
    }

    #[test]
    fn many_texts_are_not_read_at_once() {
        let content = "a\n".repeat(AHEAD + 7);
        let reader = std::io::Cursor::new(content);
        let items = Items::read_ahead(Lines::new("f", reader), AHEAD).unwrap();
        assert_eq!((items.total(), items.ahead.len()), (None, AHEAD));
        assert_eq!(items.count(), AHEAD + 7);
        let few = Items::read_ahead(Lines::new("f", "a\nb".as_bytes()), AHEAD).unwrap();
        assert_eq!(few.total(), Some(2));
        assert!(Items::read_ahead(Lines::new("f", "".as_bytes()), AHEAD).is_err());
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
