//! Texts and pairs from arguments, a file or standard input, read as they are needed.

use crate::cli::{InputFormat, Texts};
use anyhow::{Context, ensure};
use encoderfile::Item;
use serde_json::{Map, Value};
use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

/// So many texts are read before anything is computed, so that most mistakes
/// are found before there is any output.
const AHEAD: usize = 1024;

/// What waits for the first result before it writes the second text gets it.
const ONE_BY_ONE: usize = 1;

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
        let Some(path) = &texts.input else {
            return Ok(Self::known(pair_up(&texts.texts, &texts.pair)?));
        };
        let lines = Lines::open(path, texts.input_format)?;
        let one_by_one = as_they_come && is_stdin(path);
        Self::read_ahead(lines, if one_by_one { ONE_BY_ONE } else { AHEAD })
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

    fn size_hint(&self) -> (usize, Option<usize>) {
        let most = self.rest.is_none().then_some(self.ahead.len());
        (self.ahead.len(), most)
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
    let items = texts.iter().enumerate().map(|(index, text)| {
        let pair = pairs.get(index).or(pairs.first());
        pair.map_or_else(|| text.into(), |pair| (text, pair).into())
    });
    Ok(items.collect())
}

/// The lines of a file or of standard input.
///
/// They are JSON lines where that was said, where the file is called so, or where
/// the first line that is not blank is a JSON object; else each is a text. Of
/// JSON lines, one that is no text is an error and never a text. An empty line is
/// an empty text, which is a valid one; only JSON lines may have blank ones
/// between them.
struct Lines {
    /// For messages.
    name: String,
    reader: Box<dyn BufRead + Send>,
    /// Unknown until a line has been read that is not blank.
    format: Option<InputFormat>,
    /// Lines that were read to find out the format.
    held: VecDeque<Line>,
    /// Lines read.
    line: usize,
    /// Bytes read before the next line.
    offset: usize,
}

struct Line {
    /// From 1.
    number: usize,
    /// Without its end.
    text: String,
}

impl Line {
    fn is_blank(&self) -> bool {
        self.text.trim().is_empty()
    }

    /// What the lines are if this is the first of them that is not blank.
    fn format(&self) -> InputFormat {
        let is_object = serde_json::from_str::<Map<String, Value>>(&self.text).is_ok();
        // A text may begin with a brace, but what begins with a key and is no
        // object is more likely a broken one.
        let mut start = self.text.chars().filter(|it| !it.is_whitespace());
        let has_key = (start.next(), start.next()) == (Some('{'), Some('"'));
        if is_object || has_key {
            InputFormat::Jsonl
        } else {
            InputFormat::Text
        }
    }

    fn item(self, format: InputFormat) -> anyhow::Result<Item> {
        if format == InputFormat::Text {
            return Ok(self.text.into());
        }
        Item::from_json_line(&self.text).map_err(|error| {
            let message = error.to_string();
            // Of the line alone, each is the first.
            let message = message.replace("at line 1 column", "at column");
            anyhow::anyhow!(
                "line {}: not a JSON object with a `text` and perhaps a `text_pair`: {message} (--input-format text if it is text)",
                self.number
            )
        })
    }
}

/// What a file's name says of its lines.
fn format_of_name(path: &Path) -> Option<InputFormat> {
    let extension = path.extension()?.to_str()?.to_ascii_lowercase();
    matches!(&*extension, "jsonl" | "ndjson" | "json").then_some(InputFormat::Jsonl)
}

impl Lines {
    fn open(path: &Path, format: Option<InputFormat>) -> anyhow::Result<Self> {
        if is_stdin(path) {
            let stdin = BufReader::new(std::io::stdin());
            return Ok(Self::new("standard input", format, stdin));
        }
        let name = path.display().to_string();
        let file = File::open(path).with_context(|| name.clone())?;
        let format = format.or_else(|| format_of_name(path));
        Ok(Self::new(&name, format, BufReader::new(file)))
    }

    fn new(name: &str, format: Option<InputFormat>, reader: impl BufRead + Send + 'static) -> Self {
        Self {
            name: name.into(),
            reader: Box::new(reader),
            format,
            held: VecDeque::new(),
            line: 0,
            offset: 0,
        }
    }

    /// The next line of the file; `None` after the last.
    fn read_line(&mut self) -> anyhow::Result<Option<Line>> {
        let mut bytes = Vec::new();
        let read = self.reader.by_ref().read_until(b'\n', &mut bytes)?;
        if read == 0 {
            return Ok(None);
        }
        let mut text = String::from_utf8(bytes).map_err(|error| {
            let valid = error.utf8_error().valid_up_to();
            let (line, byte) = (self.line + 1, self.offset + valid);
            anyhow::anyhow!("line {line}: invalid UTF-8 at byte {byte}")
        })?;
        self.offset += read;
        self.line += 1;
        if text.ends_with('\n') {
            text.pop();
            if text.ends_with('\r') {
                text.pop();
            }
        }
        if self.line == 1
            && let Some(rest) = text.strip_prefix('\u{feff}')
        {
            text = rest.to_owned();
        }
        let number = self.line;
        Ok(Some(Line { number, text }))
    }

    /// What the lines are; reads those that it takes to find out.
    fn find_format(&mut self) -> anyhow::Result<InputFormat> {
        loop {
            if let Some(format) = self.format {
                return Ok(format);
            }
            match self.read_line()? {
                // Nothing but empty texts.
                None => self.format = Some(InputFormat::Text),
                Some(line) => {
                    self.format = (!line.is_blank()).then(|| line.format());
                    self.held.push_back(line);
                }
            }
        }
    }

    fn read_item(&mut self) -> anyhow::Result<Option<Item>> {
        let format = self.find_format()?;
        loop {
            let line = match self.held.pop_front() {
                Some(line) => line,
                None => match self.read_line()? {
                    Some(line) => line,
                    None => return Ok(None),
                },
            };
            if format == InputFormat::Text || !line.is_blank() {
                return line.item(format).map(Some);
            }
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
    use super::{AHEAD, InputFormat, Item, Items, Lines, format_of_name, pair_up};

    fn lines(content: &'static str) -> anyhow::Result<Vec<Item>> {
        Lines::new("f", None, content.as_bytes()).collect()
    }

    fn parts(item: Item) -> (String, Option<String>) {
        match item {
            Item::Text(text) => (text, None),
            Item::Pair(text, pair) => (text, Some(pair)),
            Item::Ids(_) => panic!("nobody reads ids"),
        }
    }

    fn texts(content: &'static str) -> Vec<String> {
        let items = lines(content).unwrap().into_iter();
        items.map(|item| parts(item).0).collect()
    }

    fn error(format: Option<InputFormat>, content: &'static [u8]) -> String {
        let mut lines = Lines::new("f", format, content);
        let error = lines.find_map(Result::err).unwrap();
        format!("{error:#}")
    }

    #[test]
    fn plain_lines_are_texts_even_when_empty() {
        assert_eq!(texts("a\n\nb\r\n"), ["a", "", "b"]);
        assert_eq!(texts("\u{feff}[1]\nb"), ["[1]", "b"]);
        assert_eq!(texts("\n  \n"), ["", "  "]);
    }

    #[test]
    fn what_comes_first_decides() {
        let json = "{\"text\": \"a\"}";
        assert_eq!(texts("a\n{\"text\": \"a\"}\n"), ["a", json]);
        assert_eq!(texts("\n\nb\n{\"text\": \"a\"}\n"), ["", "", "b", json]);
        assert_eq!(texts("\u{feff}\r\n \n{\"text\": \"a\"}\r\n"), ["a"]);
        assert_eq!(texts("{x} is a set\n{}\n"), ["{x} is a set", "{}"]);
        assert_eq!(texts("{} is empty\n"), ["{} is empty"]);
        let text = Some(InputFormat::Text);
        let lines = Lines::new("f", text, "{\"text\": \"a\"}".as_bytes());
        let lines: Vec<Item> = lines.map(Result::unwrap).collect();
        assert_eq!(lines, [json.into()]);
    }

    #[test]
    fn names_say_what_is_json() {
        let of = |name: &str| format_of_name(name.as_ref());
        for name in ["a.jsonl", "b/a.NDJSON", "a.txt.json"] {
            assert_eq!(of(name), Some(InputFormat::Jsonl), "{name}");
        }
        for name in ["a.txt", "jsonl", "a.jsonl.txt", "-"] {
            assert_eq!(of(name), None, "{name}");
        }
    }

    #[test]
    fn json_lines_give_their_texts() {
        let content = "{\"id\": 1, \"text\": \"a\\nb\", \"text_pair\": null}\n\n{\"text\": \"\", \"text_pair\": \"c\"}\n";
        assert_eq!(texts(content), ["a\nb", ""]);
        let items = lines(content).unwrap();
        assert_eq!(items, ["a\nb".into(), ("", "c").into()]);
        let halves =
            r#"{"text": "\ud83da\ud83d\ude00\\ud800", "text_pair": null, "note": "\udc00"}"#;
        assert_eq!(texts(halves), ["\u{fffd}a\u{1f600}\\ud800"]);
    }

    #[test]
    fn a_line_that_cannot_be_read_is_named() {
        let jsonl = Some(InputFormat::Jsonl);
        let bad: [(_, &[u8], _); 8] = [
            (None, b"{\"text\": \"a\"}\n{\"txt\": 1}\n", "line 2"),
            (None, b"{\"text\": \"a\"}\nb\n", "line 2"),
            (None, b"\n{\"txt\": 1}\n", "line 2"),
            (None, b"{\"text\": \"a\"\n", "line 1"),
            (None, b"{}\n", "line 1"),
            (jsonl, b"\nb\n", "line 2"),
            (jsonl, b"[\"a\", \"b\"]\n", "line 1"),
            (jsonl, b"{\"text\": null}\n", "line 1"),
        ];
        for (format, content, line) in bad {
            let message = error(format, content);
            assert!(message.starts_with(&format!("f: {line}: ")), "{message}");
            assert!(!message.contains("at line"), "{message}");
        }
        assert_eq!(
            error(None, b"ab\nc\xff\n"),
            "f: line 2: invalid UTF-8 at byte 4"
        );
    }

    #[test]
    fn many_texts_are_not_read_at_once() {
        let content = "a\n".repeat(AHEAD + 7);
        let reader = std::io::Cursor::new(content);
        let items = Items::read_ahead(Lines::new("f", None, reader), AHEAD).unwrap();
        assert_eq!((items.total(), items.ahead.len()), (None, AHEAD));
        assert_eq!(items.count(), AHEAD + 7);
        let few = Items::read_ahead(Lines::new("f", None, "a\nb".as_bytes()), AHEAD).unwrap();
        assert_eq!(few.total(), Some(2));
        assert!(Items::read_ahead(Lines::new("f", None, "".as_bytes()), AHEAD).is_err());
    }

    #[test]
    fn second_texts_go_to_all_or_each_to_one() {
        let strings = |texts: &[&str]| texts.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>();
        let pairs = |pairs: &[&str]| {
            let items = pair_up(&strings(&["a", "b"]), &strings(pairs));
            items.map(|items| {
                let seconds = items.into_iter().map(|item| parts(item).1);
                seconds.map(Option::unwrap_or_default).collect::<Vec<_>>()
            })
        };
        assert_eq!(pairs(&[]).unwrap(), ["", ""]);
        assert_eq!(pairs(&["x"]).unwrap(), ["x", "x"]);
        assert_eq!(pairs(&["x", "y"]).unwrap(), ["x", "y"]);
        assert!(pairs(&["x", "y", "z"]).is_err());
    }
}
