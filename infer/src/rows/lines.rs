//! Lines: each a text, or each a JSON object.

use super::{Columns, Id, PAIR, Row, Source, is_stdin};
use crate::cli::InputFormat;
use encoderfile::limits::ROW_LEN_MAX;
use encoderfile::{Item, json};
use serde_json::{Map, Value};
use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

/// The lines of a file or of standard input.
///
/// They are JSON lines where that was said, where the file is called so, or where
/// the first line that is not blank is a JSON object; else each is a text. Of
/// JSON lines, one that is no text is an error and never a text. An empty line is
/// an empty text, which is a valid one; only JSON lines may have blank ones
/// between them.
pub(super) struct Lines {
    reader: Box<dyn BufRead + Send>,
    columns: Columns,
    /// Unknown until a line has been read that is not blank.
    format: Option<InputFormat>,
    /// Lines that were read to find out the format.
    held: VecDeque<Line>,
    /// Lines read.
    line: u64,
    /// Bytes read before the next line.
    offset: u64,
    /// Bytes of the file.
    length: Option<u64>,
    /// Bytes that a line may have.
    longest: u64,
}

struct Line {
    /// From 1.
    number: u64,
    /// Without its end; or what is wrong with it.
    text: Result<String, String>,
}

impl Line {
    fn is_blank(&self) -> bool {
        self.text.as_ref().is_ok_and(|text| text.trim().is_empty())
    }

    /// What the lines are if this is the first of them that is not blank.
    fn format(&self) -> InputFormat {
        let Ok(text) = &self.text else {
            return InputFormat::Text;
        };
        let is_object = serde_json::from_str::<Map<String, Value>>(text).is_ok();
        // A text may begin with a brace, but what begins with a key and is no
        // object is more likely a broken one.
        let mut start = text.chars().filter(|it| !it.is_whitespace());
        let has_key = (start.next(), start.next()) == (Some('{'), Some('"'));
        if is_object || has_key {
            InputFormat::Jsonl
        } else {
            InputFormat::Text
        }
    }

    fn row(self, format: InputFormat, columns: &Columns) -> Row {
        let (id, item) = match self.text {
            Err(problem) => (None, Err(problem)),
            Ok(text) if format == InputFormat::Text => (None, Ok(text.into())),
            Ok(text) => match object(&text) {
                Err(problem) => (None, Err(problem)),
                Ok(object) => of_object(&object, columns),
            },
        };
        Row {
            number: self.number,
            id,
            item,
        }
    }
}

/// The members of a line, without those that are null.
fn object(line: &str) -> Result<Map<String, Value>, String> {
    let wrong =
        |problem: &str| format!("not a JSON object: {problem} (--input-format text if it is text)");
    match json::read(line) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(other) => Err(wrong(&format!("it is {}", kind(&other)))),
        // Of the line alone, each is the first.
        Err(error) => Err(wrong(
            &error.to_string().replace("at line 1 column", "at column"),
        )),
    }
}

/// The row's id, and what is computed of it.
fn of_object(object: &Map<String, Value>, columns: &Columns) -> (Option<Id>, Result<Item, String>) {
    let id = match columns.id.as_deref().map(|name| id(object, name)) {
        None => None,
        Some(Ok(id)) => Some(id),
        Some(Err(problem)) => return (None, Err(problem)),
    };
    (id, item(object, columns))
}

fn item(object: &Map<String, Value>, columns: &Columns) -> Result<Item, String> {
    let first = string(object, &columns.text)?;
    match &columns.pair {
        Some(name) => Ok((first, string(object, name)?).into()),
        None if object.contains_key(PAIR) => Ok((first, string(object, PAIR)?).into()),
        None => Ok(first.into()),
    }
}

fn member<'a>(object: &'a Map<String, Value>, name: &str) -> Result<&'a Value, String> {
    object.get(name).ok_or_else(|| {
        let names: Vec<&str> = object.keys().map(String::as_str).collect();
        super::absent(name, &names)
    })
}

fn string<'a>(object: &'a Map<String, Value>, name: &str) -> Result<&'a str, String> {
    match member(object, name)? {
        Value::String(text) => Ok(text),
        other => Err(format!("`{name}` is no string but {}", kind(other))),
    }
}

fn id(object: &Map<String, Value>, name: &str) -> Result<Id, String> {
    let value = member(object, name)?;
    match (value, value.as_i64()) {
        (_, Some(number)) => Ok(Id::Integer(number)),
        (Value::String(text), None) => Ok(Id::Text(text.clone())),
        _ => Err(format!(
            "`{name}` is neither a string nor an integer but {}",
            kind(value)
        )),
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

impl Lines {
    pub(super) fn open(
        path: &Path,
        format: Option<InputFormat>,
        columns: &Columns,
    ) -> anyhow::Result<Self> {
        if is_stdin(path) {
            return Ok(Self::new(BufReader::new(std::io::stdin()), format, columns));
        }
        let file = File::open(path)?;
        let length = file.metadata()?.len();
        let mut lines = Self::new(BufReader::new(file), format, columns);
        // A pipe has none.
        lines.length = (length > 0).then_some(length);
        Ok(lines)
    }

    fn new(
        reader: impl BufRead + Send + 'static,
        format: Option<InputFormat>,
        columns: &Columns,
    ) -> Self {
        Self {
            reader: Box::new(reader),
            columns: columns.clone(),
            format,
            held: VecDeque::new(),
            line: 0,
            offset: 0,
            length: None,
            longest: ROW_LEN_MAX,
        }
    }

    /// The next line of the file; `None` after the last.
    fn read_line(&mut self) -> anyhow::Result<Option<Line>> {
        let mut bytes = Vec::new();
        // Its end and one byte too many.
        let mut reader = self.reader.by_ref().take(self.longest + 2);
        let mut read = reader.read_until(b'\n', &mut bytes)? as u64;
        if read == 0 {
            return Ok(None);
        }
        let offset = self.offset;
        let has_end = bytes.ends_with(b"\n");
        if has_end {
            bytes.pop();
            if bytes.ends_with(b"\r") {
                bytes.pop();
            }
        }
        let text = if bytes.len() as u64 > self.longest {
            read += if has_end {
                0
            } else {
                self.reader.skip_until(b'\n')? as u64
            };
            Err(format!("longer than {} bytes", self.longest))
        } else {
            String::from_utf8(bytes).map_err(|error| {
                let byte = offset + error.utf8_error().valid_up_to() as u64;
                format!("invalid UTF-8 at byte {byte}")
            })
        };
        self.offset += read;
        self.line += 1;
        let text = text.map(|text| match text.strip_prefix('\u{feff}') {
            Some(rest) if self.line == 1 => rest.to_owned(),
            _ => text,
        });
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
}

impl Source for Lines {
    fn read(&mut self) -> anyhow::Result<Option<Row>> {
        let format = self.find_format()?;
        if format == InputFormat::Text {
            self.columns.refuse()?;
        }
        loop {
            let line = match self.held.pop_front() {
                Some(line) => line,
                None => match self.read_line()? {
                    Some(line) => line,
                    None => return Ok(None),
                },
            };
            if format == InputFormat::Text || !line.is_blank() {
                return Ok(Some(line.row(format, &self.columns)));
            }
        }
    }

    fn fraction(&self) -> Option<f64> {
        Some(self.offset as f64 / self.length? as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns() -> Columns {
        Columns {
            text: "text".into(),
            pair: None,
            id: None,
        }
    }

    fn rows(format: Option<InputFormat>, columns: &Columns, content: &'static [u8]) -> Vec<Row> {
        let mut lines = Lines::new(content, format, columns);
        std::iter::from_fn(|| lines.read().unwrap()).collect()
    }

    fn items(content: &'static str) -> Vec<Item> {
        let rows = rows(None, &columns(), content.as_bytes()).into_iter();
        rows.map(|row| row.item.unwrap()).collect()
    }

    fn texts<const N: usize>(texts: [&str; N]) -> Vec<Item> {
        texts.map(Item::from).to_vec()
    }

    #[test]
    fn plain_lines_are_texts_even_when_empty() {
        assert_eq!(items("a\n\nb\r\n"), texts(["a", "", "b"]));
        assert_eq!(items("\u{feff}[1]\nb"), texts(["[1]", "b"]));
        assert_eq!(items("\n  \n"), texts(["", "  "]));
    }

    #[test]
    fn what_comes_first_decides() {
        let json = "{\"text\": \"a\"}";
        assert_eq!(items("a\n{\"text\": \"a\"}\n"), texts(["a", json]));
        let blank = "\n\nb\n{\"text\": \"a\"}\n";
        assert_eq!(items(blank), texts(["", "", "b", json]));
        assert_eq!(items("\u{feff}\r\n \n{\"text\": \"a\"}\r\n"), texts(["a"]));
        assert_eq!(items("{x} is a set\n{}\n"), texts(["{x} is a set", "{}"]));
        assert_eq!(items("{} is empty\n"), texts(["{} is empty"]));
        let text = Some(InputFormat::Text);
        let row = rows(text, &columns(), b"{\"text\": \"a\"}").remove(0);
        assert_eq!(row.item, Ok(json.into()));
    }

    #[test]
    fn json_lines_give_their_texts() {
        let content = "{\"id\": 1, \"text\": \"a\\nb\", \"text_pair\": null}\n\n{\"text\": \"\", \"text_pair\": \"c\"}\n";
        assert_eq!(items(content), ["a\nb".into(), ("", "c").into()]);
        let halves =
            r#"{"text": "\ud83da\ud83d\ude00\\ud800", "text_pair": null, "note": "\udc00"}"#;
        assert_eq!(items(halves), texts(["\u{fffd}a\u{1f600}\\ud800"]));
    }

    #[test]
    fn columns_are_members() {
        let columns = Columns {
            text: "body".into(),
            pair: Some("title".into()),
            id: Some("key".into()),
        };
        let content =
            b"{\"body\": \"a\", \"title\": \"b\", \"key\": -7}\n{\"body\": \"a\", \"title\": \"b\", \"key\": \"x\"}\n{\"body\": \"a\", \"title\": \"b\", \"key\": 0.5}\n{\"body\": \"a\", \"key\": 1}\n";
        let rows = rows(None, &columns, content);
        assert_eq!(rows[0].item, Ok(("a", "b").into()));
        assert_eq!(rows[0].id, Some(Id::Integer(-7)));
        assert_eq!(rows[1].id, Some(Id::Text("x".into())));
        let problem = |row: &Row| row.item.clone().unwrap_err();
        assert_eq!(
            problem(&rows[2]),
            "`key` is neither a string nor an integer but a number"
        );
        assert_eq!(problem(&rows[3]), "no column `title`. It has body, key");
    }

    #[test]
    fn a_line_that_cannot_be_read_is_named_and_the_next_is_read() {
        let jsonl = Some(InputFormat::Jsonl);
        let bad: [(_, &[u8], u64); 8] = [
            (None, b"{\"text\": \"a\"}\n{\"txt\": 1}\n", 2),
            (None, b"{\"text\": \"a\"}\nb\n", 2),
            (None, b"\n{\"txt\": 1}\n", 2),
            (None, b"{\"text\": \"a\"\n", 1),
            (None, b"ab\nc\xff\n", 2),
            (jsonl, b"\nb\n", 2),
            (jsonl, b"[\"a\", \"b\"]\n", 1),
            (jsonl, b"{\"text\": null}\n{\"text\": \"a\"}\n", 1),
        ];
        for (format, content, line) in bad {
            let rows = rows(format, &columns(), content);
            let wrong: Vec<&Row> = rows.iter().filter(|row| row.item.is_err()).collect();
            assert_eq!(wrong.len(), 1, "{rows:?}");
            assert_eq!(wrong[0].number, line, "{rows:?}");
            let problem = wrong[0].item.clone().unwrap_err();
            assert!(!problem.contains("at line"), "{problem}");
        }
        let row = rows(None, &columns(), b"ab\nc\xff\n").remove(1);
        assert_eq!(row.item, Err("invalid UTF-8 at byte 4".into()));
    }

    #[test]
    fn a_line_that_is_too_long_is_an_error_and_the_next_is_read() {
        let mut lines = Lines::new(&b"12345\r\n1234567\n1234\xff\n123456"[..], None, &columns());
        lines.longest = 5;
        let rows: Vec<_> = std::iter::from_fn(|| lines.read().unwrap()).collect();
        let too_long = || Err("longer than 5 bytes".into());
        let items = rows.into_iter().map(|row| row.item);
        let invalid = Err("invalid UTF-8 at byte 19".into());
        let expected = [Ok("12345".into()), too_long(), invalid, too_long()];
        assert!(items.eq(expected));
        assert_eq!(lines.offset, 27);
    }

    #[test]
    fn lines_of_text_have_no_columns() {
        let columns = Columns {
            id: Some("id".into()),
            ..columns()
        };
        let mut lines = Lines::new(&b"a\n"[..], None, &columns);
        assert!(lines.read().unwrap_err().to_string().contains("no column"));
    }
}
