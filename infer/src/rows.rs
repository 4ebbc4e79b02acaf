//! Rows of texts: from arguments, standard input or files, read as they are needed.

mod csv;
mod lines;

use crate::cli::{InputFormat, Texts};
use crate::columnar::Columnar;
use crate::layout::Ids;
use anyhow::{Context, bail, ensure};
use encoderfile::Item;
use serde::Serialize;
use std::collections::VecDeque;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// So many rows are read before anything is computed, so that most mistakes are found before
/// there is any output.
const AHEAD: usize = 1024;

/// What waits for the first result before it writes the second text gets it.
const ONE_BY_ONE: usize = 1;

/// What a row is known by, as its file has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Id {
    /// A number.
    Integer(i64),
    /// Anything else.
    Text(String),
}

impl fmt::Display for Id {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Integer(number) => number.fmt(formatter),
            Self::Text(text) => text.fmt(formatter),
        }
    }
}

/// A row of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// From 1: the line of a text file, else how many rows there were with it.
    pub number: u64,
    /// Where one was asked for.
    pub id: Option<Id>,
    /// What is to be computed; or what is wrong with it.
    pub item: Result<Item, String>,
}

/// A file of rows.
pub trait Source: Send {
    /// The next row; `None` after the last.
    ///
    /// # Errors
    /// Where nothing after it can be read either.
    fn read(&mut self) -> anyhow::Result<Option<Row>>;

    /// What its ids are; `None` where each row has its own kind.
    fn ids(&self) -> Option<Ids> {
        None
    }

    /// What its rows are numbered by, for messages: lines of a text file.
    fn unit(&self) -> &'static str {
        "line"
    }

    /// How much of it has been read, from 0 to 1; `None` where nobody knows how long it is.
    fn fraction(&self) -> Option<f64> {
        None
    }
}

/// Which columns of a file are read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Columns {
    /// Of the texts.
    pub text: String,
    /// Of the second texts of pairs; without one, `text_pair` where there is such a column.
    pub pair: Option<String>,
    /// Of what the rows are known by.
    pub id: Option<String>,
}

/// The column of texts where no other is named.
pub(crate) const TEXT: &str = "text";

/// The column of second texts where no other is named.
pub(crate) const PAIR: &str = "text_pair";

impl Columns {
    pub(crate) fn of(texts: &Texts, id: Option<&String>) -> Self {
        Self {
            text: texts.column.clone(),
            pair: texts.pair_column.clone(),
            id: id.cloned(),
        }
    }

    /// Fails where columns were named.
    fn refuse(&self) -> anyhow::Result<()> {
        let named = self.pair.as_ref().or(self.id.as_ref());
        let named = named.or((self.text != TEXT).then_some(&self.text));
        match named {
            Some(name) => bail!("lines of text have no columns, so no column `{name}`"),
            None => Ok(()),
        }
    }

    /// The places of the columns among those that a file has.
    ///
    /// # Errors
    /// Where one is not there; the message names those that are.
    pub fn find(&self, names: &[&str]) -> anyhow::Result<Places> {
        let place = |name: &str| names.iter().position(|it| *it == name);
        let wanted = |name: &str| place(name).with_context(|| absent(name, names));
        Ok(Places {
            text: wanted(&self.text)?,
            pair: match &self.pair {
                Some(name) => Some(wanted(name)?),
                None => place(PAIR),
            },
            id: self.id.as_deref().map(wanted).transpose()?,
        })
    }
}

/// Where columns are among those of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Places {
    /// Of the texts.
    pub text: usize,
    /// Of the second texts.
    pub pair: Option<usize>,
    /// Of what the rows are known by.
    pub id: Option<usize>,
}

/// That a column is not there, and what is.
fn absent(name: &str, names: &[&str]) -> String {
    const SHOWN_MAX: usize = 20;
    const ALIKE_MIN: f64 = 0.7;

    let likeness = |other: &&str| strsim::jaro_winkler(name, other);
    let nearest = names
        .iter()
        .copied()
        .max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
    let hint = match nearest.filter(|it| likeness(it) >= ALIKE_MIN) {
        Some(nearest) => format!("; did you mean `{nearest}`?"),
        None => ".".into(),
    };
    let shown: Vec<&str> = names.iter().take(SHOWN_MAX).copied().collect();
    match (shown.join(", "), names.len().saturating_sub(SHOWN_MAX)) {
        (shown, _) if shown.is_empty() => format!("no column `{name}`, and no other"),
        (shown, 0) => format!("no column `{name}`{hint} It has {shown}"),
        (shown, more) => format!("no column `{name}`{hint} It has {shown} and {more} more"),
    }
}

/// Where a row is, for messages.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// `None` for a text that is an argument.
    file: Option<Arc<str>>,
    unit: &'static str,
    /// From 1.
    number: u64,
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, unit, number } = self;
        match file {
            Some(file) => write!(formatter, "{file}: {unit} {number}"),
            None => write!(formatter, "{unit} {number}"),
        }
    }
}

impl Place {
    pub(crate) fn file(&self) -> Option<&str> {
        self.file.as_deref()
    }

    pub(crate) fn number(&self) -> u64 {
        self.number
    }
}

/// A row, and where it is.
pub(crate) struct Placed {
    pub(crate) place: Place,
    pub(crate) row: Row,
    /// How much of everything has been read, from 0 to 1.
    pub(crate) fraction: Option<f64>,
}

/// How reading begins.
#[derive(Clone, Copy, Default)]
pub(crate) struct Start {
    /// Of standard input, only one row is read ahead: what is asked waits for its answer.
    pub(crate) as_they_come: bool,
    /// So many rows are passed over.
    pub(crate) skip: u64,
    /// A row that cannot be read is no reason not to begin.
    pub(crate) may_fail: bool,
}

/// All rows in order; at least one.
pub(crate) struct Rows {
    ahead: VecDeque<anyhow::Result<Placed>>,
    /// `None` when everything has been read.
    rest: Option<Files>,
    /// Whether the next row may not be there yet: of a pipe.
    may_wait: bool,
    /// How many there are, if that is known.
    total: Option<usize>,
    ids: Ids,
}

impl Rows {
    /// Finds the rows and reads the first of them.
    pub(crate) fn open(
        texts: &Texts,
        columns: &Columns,
        columnar: Option<&'static dyn Columnar>,
        start: Start,
    ) -> anyhow::Result<Self> {
        if texts.input.is_empty() {
            return Ok(Self::known(arguments(texts)?, Ids::Texts));
        }
        let files = Files::open(texts, columns, columnar)?;
        let is_asked = start.as_they_come && texts.input.iter().all(|path| is_stdin(path));
        let ahead = if is_asked { ONE_BY_ONE } else { AHEAD };
        Ok(Self {
            may_wait: !texts.input.iter().all(|path| path.is_file()),
            ..Self::read_ahead(files, ahead, start)?
        })
    }

    fn known(rows: Vec<Placed>, ids: Ids) -> Self {
        Self {
            total: Some(rows.len()),
            ahead: rows.into_iter().map(Ok).collect(),
            rest: None,
            may_wait: false,
            ids,
        }
    }

    /// What ids are in all of them.
    pub(crate) fn ids(&self) -> Ids {
        self.ids
    }

    fn read_ahead(mut files: Files, rows: usize, start: Start) -> anyhow::Result<Self> {
        for _ in 0..start.skip {
            files.next().transpose()?;
        }
        let mut ahead = Vec::new();
        while ahead.len() < rows {
            match files.next().transpose()? {
                Some(Placed { place, row, .. }) if row.item.is_err() && !start.may_fail => {
                    bail!("{place}: {}", row.item.err().unwrap_or_default())
                }
                Some(row) => ahead.push(row),
                None if ahead.is_empty() && start.skip == 0 => {
                    bail!("{}: no texts in it", files.last.unwrap_or_default())
                }
                None => return Ok(Self::known(ahead, files.ids)),
            }
        }
        Ok(Self {
            ahead: ahead.into_iter().map(Ok).collect(),
            ids: files.ids,
            rest: Some(files),
            may_wait: true,
            total: None,
        })
    }

    /// How many rows there are; `None` for more than are read ahead.
    pub(crate) fn total(&self) -> Option<usize> {
        self.total
    }
}

impl Iterator for Rows {
    type Item = anyhow::Result<Placed>;

    fn next(&mut self) -> Option<Self::Item> {
        let row = self.ahead.pop_front();
        // So that there are always rows which are computed beside each other.
        let more = !self.may_wait || row.is_none();
        let more = self.rest.as_mut().filter(|_| more).and_then(Files::next);
        if row.is_none() {
            return more;
        }
        self.ahead.extend(more);
        row
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let most = self.rest.is_none().then_some(self.ahead.len());
        (self.ahead.len(), most)
    }
}

pub(crate) fn is_stdin(path: &Path) -> bool {
    path == Path::new("-")
}

/// Texts from the command line.
fn arguments(texts: &Texts) -> anyhow::Result<Vec<Placed>> {
    let items = pair_up(&texts.texts, &texts.pair)?.into_iter().zip(1..);
    let row = |(item, number)| Placed {
        place: Place {
            file: None,
            unit: "text",
            number,
        },
        row: Row {
            number,
            id: None,
            item: Ok(item),
        },
        fraction: None,
    };
    Ok(items.map(row).collect())
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

/// Files, one after another.
struct Files {
    waiting: VecDeque<PathBuf>,
    opener: Opener,
    current: Option<(Arc<str>, Box<dyn Source>)>,
    count: usize,
    /// The name of the last that was begun.
    last: Option<Arc<str>>,
    ids: Ids,
}

/// How files are read.
struct Opener {
    format: Option<InputFormat>,
    columns: Columns,
    columnar: Option<&'static dyn Columnar>,
}

impl Files {
    /// Every file is opened once before any is read: what the last lacks is said at the beginning.
    fn open(
        texts: &Texts,
        columns: &Columns,
        columnar: Option<&'static dyn Columnar>,
    ) -> anyhow::Result<Self> {
        let opener = Opener {
            format: texts.input_format,
            columns: columns.clone(),
            columnar,
        };
        let mut ids = None;
        for path in texts.input.iter().filter(|path| !is_stdin(path)) {
            let (name, source) = opener.open(path)?;
            let these = source.ids().unwrap_or(Ids::Texts);
            ensure!(
                *ids.get_or_insert(these) == these,
                "{name}: its ids are {these}, those of the files before it are not"
            );
        }
        Ok(Self {
            count: texts.input.len(),
            waiting: texts.input.clone().into(),
            opener,
            current: None,
            last: None,
            ids: ids.unwrap_or(Ids::Texts),
        })
    }

    /// Of all files, each counting for the same.
    fn fraction(&self) -> Option<f64> {
        let (_, source) = self.current.as_ref()?;
        let done = self.count.checked_sub(self.waiting.len() + 1)?;
        Some((done as f64 + source.fraction()?) / self.count as f64)
    }

    fn read(&mut self) -> anyhow::Result<Option<Placed>> {
        loop {
            let Some((name, source)) = &mut self.current else {
                let Some(path) = self.waiting.pop_front() else {
                    return Ok(None);
                };
                let (name, source) = self.opener.open(&path)?;
                self.last = Some(Arc::clone(&name));
                self.current = Some((name, source));
                continue;
            };
            let row = source.read().with_context(|| name.to_string())?;
            let Some(row) = row else {
                self.current = None;
                continue;
            };
            let place = Place {
                file: Some(Arc::clone(name)),
                unit: source.unit(),
                number: row.number,
            };
            return Ok(Some(Placed {
                place,
                fraction: self.fraction(),
                row,
            }));
        }
    }
}

impl Iterator for Files {
    type Item = anyhow::Result<Placed>;

    fn next(&mut self) -> Option<Self::Item> {
        self.read().transpose()
    }
}

impl Opener {
    fn open(&self, path: &Path) -> anyhow::Result<(Arc<str>, Box<dyn Source>)> {
        let name: Arc<str> = match is_stdin(path) {
            true => "standard input".into(),
            false => path.display().to_string().into(),
        };
        let source = self.source(path).with_context(|| name.to_string())?;
        Ok((name, source))
    }

    fn source(&self, path: &Path) -> anyhow::Result<Box<dyn Source>> {
        let format = self.format.or_else(|| InputFormat::of_name(path));
        Ok(match format {
            Some(format @ (InputFormat::Parquet | InputFormat::Arrow)) => {
                ensure!(!is_stdin(path), "{format} is read from files alone");
                let columnar = self
                    .columnar
                    .with_context(|| crate::columnar::absent(format))?;
                columnar.open(path, format, &self.columns)?
            }
            Some(format @ (InputFormat::Csv | InputFormat::Tsv)) => {
                Box::new(csv::Records::open(path, format, &self.columns)?)
            }
            lines => Box::new(lines::Lines::open(path, lines, &self.columns)?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn second_texts_go_to_all_or_each_to_one() {
        let strings = |texts: &[&str]| texts.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>();
        let pairs = |pairs: &[&str]| {
            let items = pair_up(&strings(&["a", "b"]), &strings(pairs));
            items.map(|items| {
                let seconds = items.into_iter().map(|item| match item {
                    Item::Pair(_, second) => second,
                    _ => String::new(),
                });
                seconds.collect::<Vec<_>>()
            })
        };
        assert_eq!(pairs(&[]).unwrap(), ["", ""]);
        assert_eq!(pairs(&["x"]).unwrap(), ["x", "x"]);
        assert_eq!(pairs(&["x", "y"]).unwrap(), ["x", "y"]);
        assert!(pairs(&["x", "y", "z"]).is_err());
    }

    #[test]
    fn an_absent_column_is_named_with_its_nearest() {
        let columns = Columns {
            text: "text".into(),
            pair: None,
            id: Some("id".into()),
        };
        let error = |names: &[&str]| columns.find(names).unwrap_err().to_string();
        assert_eq!(
            error(&["id", "texts"]),
            "no column `text`; did you mean `texts`? It has id, texts"
        );
        assert_eq!(error(&["q", "zz"]), "no column `text`. It has q, zz");
        assert_eq!(error(&[]), "no column `text`, and no other");
        assert_eq!(error(&["text"]), "no column `id`. It has text");
        let places = columns.find(&["id", "text_pair", "text"]).unwrap();
        assert_eq!((places.text, places.pair, places.id), (2, Some(1), Some(0)));
    }
}
