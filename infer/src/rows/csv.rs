//! Comma- or tab-separated values with a header, as RFC 4180 has them: a field in quotes may have
//! line breaks in it.

use super::{Columns, Id, Places, Row, Source, is_stdin};
use crate::cli::InputFormat;
use anyhow::Context;
use csv::{ByteRecord, Reader, ReaderBuilder};
use encoderfile::Item;
use encoderfile::limits::ROW_LEN_MAX;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// A file of records.
pub(super) struct Records {
    reader: Reader<Bounded>,
    record: ByteRecord,
    /// Records read: a line of the file may be blank, and a field may have several.
    rows: u64,
    /// How many fields the header has.
    width: usize,
    places: Places,
    columns: Columns,
    /// Bytes of the file.
    length: Option<u64>,
}

/// Fails where a record has too many bytes, as all of the file is one where a quote is left open.
struct Bounded {
    source: Box<dyn Read + Send>,
    longest: u64,
    /// Read since the last record.
    read: u64,
}

impl Read for Bounded {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.read > self.longest {
            let problem = format!(
                "a row longer than {} bytes: is there a quote that is not closed?",
                self.longest
            );
            return Err(io::Error::other(problem));
        }
        let read = self.source.read(buffer)?;
        self.read += read as u64;
        Ok(read)
    }
}

impl Records {
    pub(super) fn open(
        path: &Path,
        format: InputFormat,
        columns: &Columns,
    ) -> anyhow::Result<Self> {
        if is_stdin(path) {
            return Self::new(Box::new(io::stdin()), None, format, columns);
        }
        let file = File::open(path)?;
        let length = file.metadata()?.len();
        Self::new(
            Box::new(file),
            (length > 0).then_some(length),
            format,
            columns,
        )
    }

    fn new(
        source: Box<dyn Read + Send>,
        length: Option<u64>,
        format: InputFormat,
        columns: &Columns,
    ) -> anyhow::Result<Self> {
        let delimiter = match format {
            InputFormat::Tsv => b'\t',
            _ => b',',
        };
        // Whether a record has as many fields as the header is said with its line.
        let mut reader = ReaderBuilder::new()
            .delimiter(delimiter)
            .flexible(true)
            .from_reader(Bounded {
                source,
                longest: ROW_LEN_MAX,
                read: 0,
            });
        let header = reader.headers().context("the header")?;
        let names: Vec<&str> = header.iter().collect();
        let places = columns.find(&names)?;
        let width = header.len();
        Ok(Self {
            reader,
            record: ByteRecord::new(),
            rows: 0,
            width,
            places,
            columns: columns.clone(),
            length,
        })
    }

    fn field(&self, place: usize, name: &str) -> Result<&str, String> {
        let bytes = self.record.get(place).unwrap_or_default();
        std::str::from_utf8(bytes).map_err(|error| {
            let byte = error.valid_up_to() + 1;
            format!("`{name}` is invalid UTF-8 from its byte {byte} on")
        })
    }

    fn row(&self) -> Result<(Option<Id>, Item), String> {
        let (width, fields) = (self.width, self.record.len());
        if fields != width {
            return Err(format!("{fields} fields, where the header has {width}"));
        }
        let Columns { text, pair, id } = &self.columns;
        let named = |place: Option<usize>, name: &Option<String>| {
            let name = name.as_deref().unwrap_or(super::PAIR);
            place.map(|place| self.field(place, name)).transpose()
        };
        let id = named(self.places.id, id)?.map(|id| Id::Text(id.to_owned()));
        let first = self.field(self.places.text, text)?;
        let item = match named(self.places.pair, pair)? {
            Some(second) => (first, second).into(),
            None => first.into(),
        };
        Ok((id, item))
    }
}

impl Source for Records {
    fn read(&mut self) -> anyhow::Result<Option<Row>> {
        let mut record = std::mem::take(&mut self.record);
        self.reader.get_mut().read = 0;
        let is_there = self.reader.read_byte_record(&mut record)?;
        self.record = record;
        if !is_there {
            return Ok(None);
        }
        self.rows += 1;
        let number = self.rows;
        let (id, item) = match self.row() {
            Ok((id, item)) => (id, Ok(item)),
            Err(problem) => (None, Err(problem)),
        };
        Ok(Some(Row { number, id, item }))
    }

    fn unit(&self) -> &'static str {
        "row"
    }

    fn fraction(&self) -> Option<f64> {
        Some(self.reader.position().byte() as f64 / self.length? as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns(id: Option<&str>) -> Columns {
        Columns {
            text: "text".into(),
            pair: None,
            id: id.map(str::to_owned),
        }
    }

    fn rows(content: &'static [u8], format: InputFormat) -> Vec<Row> {
        let columns = columns(Some("id"));
        let mut records = Records::new(Box::new(content), None, format, &columns).unwrap();
        let mut rows = Vec::new();
        while let Some(row) = records.read().unwrap() {
            rows.push(row);
        }
        rows
    }

    fn row(number: u64, id: &str, item: impl Into<Item>) -> Row {
        Row {
            number,
            id: Some(Id::Text(id.into())),
            item: Ok(item.into()),
        }
    }

    #[test]
    fn fields_have_quotes_and_line_breaks() {
        let content = b"\xef\xbb\xbfid,text\r\n1,\"a, \"\"b\"\"\nc\"\r\n\r\n2,\n";
        let expected = [row(1, "1", "a, \"b\"\nc"), row(2, "2", "")];
        assert_eq!(rows(content, InputFormat::Csv), expected);
        let content = b"text\tid\ttext_pair\na,b\t7\tc\n";
        assert_eq!(rows(content, InputFormat::Tsv), [row(1, "7", ("a,b", "c"))]);
    }

    #[test]
    fn what_is_wrong_with_a_row_is_said_of_it_alone() {
        let content = b"id,text\n1,a\n2\n3,\xff\n4,b\n";
        let rows = rows(content, InputFormat::Csv);
        let problem = |row: &Row| row.item.clone().unwrap_err();
        assert_eq!(problem(&rows[1]), "1 fields, where the header has 2");
        assert_eq!(
            problem(&rows[2]),
            "`text` is invalid UTF-8 from its byte 1 on"
        );
        assert_eq!(rows[3], row(4, "4", "b"));
    }

    #[test]
    fn a_quote_that_is_not_closed_does_not_read_the_rest() {
        let content = "id,text\n1,a\n2,\"b\n".to_owned() + &"3,c\n".repeat(100_000);
        let columns = columns(Some("id"));
        let source = Box::new(io::Cursor::new(content.into_bytes()));
        let mut records = Records::new(source, None, InputFormat::Csv, &columns).unwrap();
        records.reader.get_mut().longest = 100_000;
        assert_eq!(records.read().unwrap(), Some(row(1, "1", "a")));
        let error = records.read().unwrap_err().to_string();
        assert!(error.contains("longer than 100000 bytes"), "{error}");
    }

    #[test]
    fn a_column_that_is_absent_is_found_at_once() {
        let open = |content: &'static [u8]| {
            let columns = columns(None);
            let records = Records::new(Box::new(content), None, InputFormat::Csv, &columns);
            records.err().unwrap().to_string()
        };
        assert_eq!(
            open(b"id,texts\n"),
            "no column `text`; did you mean `texts`? It has id, texts"
        );
        assert_eq!(open(b""), "no column `text`, and no other");
    }
}
