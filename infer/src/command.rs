//! Running it.

use crate::cli::{Format, Infer, Texts};
use crate::columnar::Columnar;
use crate::layout::{self, Kind, Layout, Output, Schema};
use crate::opened::Opened;
use crate::progress::Progress;
use crate::rows::{Columns, Id, Place, Placed, Rows, Start, is_stdin};
use crate::stream::{Answers, Stream};
use crate::tally::Tally;
use crate::unfinished::{Found, Identity, Unfinished};
use anyhow::{Context, bail, ensure};
use encoderfile::precision::{Precision, Quantized};
use encoderfile::{Error, Executor, Item, Model, Options, Prediction, Values, output};
use serde::Serialize;
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

/// A part is complete when it has so many bytes, or has been begun so long ago.
const PART_LEN: usize = 16 << 20;
const PART_TIME: Duration = Duration::from_secs(2);

/// Computes the results of all rows and writes them.
///
/// # Errors
/// Of a command line that makes no sense, of rows that cannot be read or computed, and what the system
/// says.
pub fn run(
    model: Opened,
    arguments: &Infer,
    columnar: Option<&'static dyn Columnar>,
) -> anyhow::Result<()> {
    let format = Format::of(arguments);
    let options = &arguments.options.0;
    let columns = Columns::of(&arguments.texts, arguments.id_column.as_ref());
    let digest = model.digest().to_owned();
    if options.query.is_some() {
        let is_json = matches!(format, Format::Json | Format::Jsonl);
        ensure!(
            is_json && !arguments.resume && arguments.errors.is_none(),
            "--query ranks all texts when it has them: json and jsonl alone, without --resume and --errors"
        );
        return rank(model, arguments, format, columnar);
    }
    let output = arguments.texts.output.as_deref();
    let kept = kept(arguments, format)?;
    let unfinished = match kept {
        None => None,
        Some(path) => {
            let identity = identity(&digest, arguments, format, &columns)?;
            match Unfinished::find(path, identity, arguments.resume)? {
                Found::Complete => {
                    eprintln!(
                        "note: {} is complete: nothing to go on with",
                        path.display()
                    );
                    return Ok(());
                }
                Found::Unfinished(unfinished) => Some(unfinished),
            }
        }
    };
    let done = unfinished.as_ref().map_or(0, |it| it.tally().rows);
    let start = Start {
        as_they_come: format == Format::Jsonl && kept.is_none(),
        skip: done,
        may_fail: arguments.errors.is_some(),
    };
    let rows = Rows::open(&arguments.texts, &columns, columnar, start)?;
    let model = load(model, arguments)?;
    let schema = schema(&model, arguments, format, &rows)?;
    let layout = layout::of(format, &schema, &model.info().name, columnar)?;
    let tally = unfinished.as_ref().map(|it| it.tally().clone());
    let sink = match unfinished {
        Some(unfinished) => Sink::Kept(Kept::new(unfinished, layout)),
        None => {
            let by_line = matches!(format, Format::Jsonl | Format::Csv);
            Sink::Stream(Stream::open(output, layout, by_line)?)
        }
    };
    let has_vectors = !matches!(format, Format::Json | Format::Jsonl);
    let mut run = Run {
        progress: Progress::new(rows.total(), done),
        tally: tally.unwrap_or_default(),
        sink,
        errors: arguments.errors.as_deref(),
        is_alone: rows.total() == Some(1) && arguments.texts.input.is_empty(),
        vectors: (has_vectors || arguments.precision != Precision::Float32)
            .then_some(arguments.precision),
    };
    let computed = model.infer_tagged(rows.map(split), options, |tag, result| {
        run.take(tag, result)
    });
    run.finish(computed)
}

/// The output, where it is a file whose parts can be kept beside it: not of a pipe or a device.
fn kept(arguments: &Infer, format: Format) -> anyhow::Result<Option<&Path>> {
    let output = arguments.texts.output.as_deref();
    let kept = output.filter(|path| !path.exists() || path.is_file());
    let is_whole = matches!(format, Format::Npy | Format::Parquet | Format::Arrow);
    ensure!(
        kept.is_some() || !is_whole,
        "{format} is written to a file: -o FILE"
    );
    ensure!(
        kept.is_some() || (!arguments.resume && arguments.errors.is_none()),
        "--resume and --errors need an output that is a file"
    );
    Ok(kept)
}

/// The tokens of all texts.
///
/// # Errors
/// As [`run`].
pub fn tokenize(
    model: Opened,
    texts: &Texts,
    options: &Options,
    columnar: Option<&'static dyn Columnar>,
) -> anyhow::Result<()> {
    let rows = Rows::open(texts, &Columns::of(texts, None), columnar, Start::default())?;
    let model = model.load(Executor::AllCores)?;
    model.check(options)?;
    let output = texts.output.as_deref();
    let mut answers = Answers::open(output, Format::Json, &model.info().name)?;
    for placed in rows {
        let Placed { place, row, .. } = placed?;
        let item = row.item.map_err(anyhow::Error::msg);
        let tokens = item.and_then(|item| Ok(model.tokenize(item, options)?));
        answers.push(&tokens.with_context(|| place.to_string())?)?;
    }
    answers.finish()
}

fn load(model: Opened, arguments: &Infer) -> anyhow::Result<Model> {
    let executor = arguments
        .threads
        .map_or(Executor::AllCores, Executor::Threads);
    let model = model.load(executor)?;
    model.check(&arguments.options.0)?;
    Ok(model)
}

/// Answers to a query, which are ranked when all of them are known.
fn rank(
    model: Opened,
    arguments: &Infer,
    format: Format,
    columnar: Option<&'static dyn Columnar>,
) -> anyhow::Result<()> {
    let columns = Columns::of(&arguments.texts, None);
    let rows = Rows::open(&arguments.texts, &columns, columnar, Start::default())?;
    let model = load(model, arguments)?;
    let options = &arguments.options.0;
    let output = arguments.texts.output.as_deref();
    let mut answers = Answers::open(output, format, &model.info().name)?;
    let is_alone = rows.total() == Some(1) && arguments.texts.input.is_empty();
    let mut progress = Progress::new(rows.total(), 0);
    let mut tally = Tally::default();
    let mut predictions: Vec<Prediction> = Vec::new();
    model.infer_tagged(rows.map(split), options, |tag, result| {
        tally.rows += 1;
        let prediction = tag.prediction(result, is_alone)?;
        note(&progress, &mut tally, &tag.place, &prediction);
        predictions.push(prediction);
        progress.advance(tag.fraction);
        anyhow::Ok(())
    })?;
    for ranked in output::rank(&predictions, options.top_k) {
        answers.push(&ranked)?;
    }
    progress.finish(&tally.summary(false));
    answers.finish()
}

/// What makes a run another than the one that left a folder.
fn identity(
    model: &str,
    arguments: &Infer,
    format: Format,
    columns: &Columns,
) -> anyhow::Result<Identity> {
    let Infer { texts, options, .. } = arguments;
    if arguments.resume {
        let stdin = texts.input.iter().any(|path| is_stdin(path));
        ensure!(
            !stdin,
            "--resume reads files again, which standard input cannot"
        );
    }
    let inputs: Vec<Value> = texts.input.iter().map(|path| input(path)).collect();
    let identity = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "model": model,
        "input": inputs,
        "input_format": texts.input_format.map(|it| it.to_string()),
        "columns": columns,
        "format": format.to_string(),
        "precision": arguments.precision,
        "options": format!("{:?}", options.0),
    });
    match identity {
        Value::Object(identity) => Ok(identity),
        _ => bail!("no identity"),
    }
}

/// A file as it was when it was read: changed, its rows are others.
fn input(path: &Path) -> Value {
    let metadata = fs::metadata(path).ok();
    let modified = metadata.as_ref().and_then(|it| it.modified().ok());
    let modified = modified.and_then(|it| it.duration_since(std::time::UNIX_EPOCH).ok());
    json!({
        "file": path.display().to_string(),
        "bytes": metadata.map(|it| it.len()),
        "modified": modified.map(|it| it.as_secs()),
    })
}

fn schema(model: &Model, arguments: &Infer, format: Format, rows: &Rows) -> anyhow::Result<Schema> {
    let precision = arguments.precision;
    let is_asked = precision != Precision::Float32;
    let values = match format {
        Format::Json | Format::Jsonl if !is_asked => Kind::Other,
        _ => Kind::of(model, &arguments.options.0),
    };
    ensure!(
        !is_asked || matches!(values, Kind::Embedding { .. }),
        "--precision {precision} is of sentence embeddings, which is not what this model computes here"
    );
    let ids = arguments.id_column.as_ref().map(|_| rows.ids());
    Ok(Schema {
        ids,
        values,
        precision,
    })
}

/// What goes along with a text.
struct Tag {
    place: Place,
    id: Option<Id>,
    /// Where there is no text.
    problem: Option<String>,
    fraction: Option<f64>,
}

fn split(placed: anyhow::Result<Placed>) -> anyhow::Result<(Tag, Option<Item>)> {
    let Placed {
        place,
        row,
        fraction,
    } = placed?;
    let (item, problem) = match row.item {
        Ok(item) => (Some(item), None),
        Err(problem) => (None, Some(problem)),
    };
    let tag = Tag {
        place,
        id: row.id,
        problem,
        fraction,
    };
    Ok((tag, item))
}

impl Tag {
    /// The prediction; else what is wrong, and where unless there is one text alone.
    fn prediction(
        &self,
        result: Option<Result<Prediction, Error>>,
        is_alone: bool,
    ) -> anyhow::Result<Prediction> {
        let error = match (result, &self.problem) {
            (Some(Ok(prediction)), _) => return Ok(prediction),
            (Some(Err(error)), _) => error.into(),
            (None, problem) => anyhow::Error::msg(problem.clone().unwrap_or_default()),
        };
        match is_alone {
            true => Err(error),
            false => Err(error.context(self.place.to_string())),
        }
    }
}

/// What a row without a result is written as.
#[derive(Serialize)]
struct Failed<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<&'a str>,
    row: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a Id>,
    error: &'a str,
}

/// Says what became of a text that did not fit.
fn note(progress: &Progress, tally: &mut Tally, place: &Place, prediction: &Prediction) {
    let usage = prediction.usage.as_ref();
    if let Some(note) = usage.and_then(|usage| tally.note(usage)) {
        progress.note(&format!("note: {place} {note}"));
    }
}

/// Where results go.
enum Sink {
    Stream(Stream),
    Kept(Kept),
}

/// A file, of which a part is being written.
struct Kept {
    unfinished: Unfinished,
    layout: Box<dyn Layout>,
    part: Vec<u8>,
    errors: Vec<u8>,
    begun: Instant,
}

impl Kept {
    fn new(unfinished: Unfinished, layout: Box<dyn Layout>) -> Self {
        Self {
            unfinished,
            layout,
            part: Vec::new(),
            errors: Vec::new(),
            begun: Instant::now(),
        }
    }

    fn keep(&mut self, tally: &Tally) -> anyhow::Result<()> {
        self.layout.end_part(&mut self.part)?;
        self.unfinished.keep(&self.part, &self.errors, tally)?;
        self.part.clear();
        self.errors.clear();
        self.begun = Instant::now();
        Ok(())
    }

    fn is_due(&self) -> bool {
        let length = self.part.len() + self.errors.len() + self.layout.pending();
        length >= PART_LEN || self.begun.elapsed() >= PART_TIME
    }
}

/// One run.
struct Run<'a> {
    progress: Progress,
    tally: Tally,
    sink: Sink,
    errors: Option<&'a Path>,
    is_alone: bool,
    /// The precision of embeddings that are not written as the prediction is.
    vectors: Option<Precision>,
}

impl Run<'_> {
    fn take(&mut self, tag: Tag, result: Option<Result<Prediction, Error>>) -> anyhow::Result<()> {
        match (
            tag.prediction(result, self.is_alone || self.errors.is_some()),
            &mut self.sink,
        ) {
            (Ok(prediction), _) => self.write(&tag, &prediction)?,
            (Err(error), Sink::Kept(kept)) if self.errors.is_some() => {
                let failed = Failed {
                    file: tag.place.file(),
                    row: tag.place.number(),
                    id: tag.id.as_ref(),
                    error: &encoderfile::one_line(&*error),
                };
                layout::json::add_line(&failed, &mut kept.errors)?;
                self.tally.failed += 1;
            }
            (Err(error), _) => return Err(error),
        }
        self.tally.rows += 1;
        self.progress.advance(tag.fraction);
        match &mut self.sink {
            Sink::Kept(kept) if kept.is_due() => kept.keep(&self.tally),
            _ => Ok(()),
        }
    }

    fn write(&mut self, tag: &Tag, prediction: &Prediction) -> anyhow::Result<()> {
        note(&self.progress, &mut self.tally, &tag.place, prediction);
        let vector = match (&prediction.values, self.vectors) {
            (Values::SentenceEmbedding { embedding }, Some(precision)) => {
                Some(Quantized::of(embedding, precision))
            }
            _ => None,
        };
        let output = Output {
            id: tag.id.as_ref(),
            prediction,
            vector,
        };
        match &mut self.sink {
            Sink::Stream(stream) => stream.push(&output)?,
            Sink::Kept(kept) => {
                let Kept { layout, part, .. } = kept;
                layout.write(&output, self.tally.written, part)?;
            }
        }
        self.tally.written += 1;
        Ok(())
    }

    /// Completes the output; or keeps what is done of one that takes long.
    fn finish(self, computed: anyhow::Result<()>) -> anyhow::Result<()> {
        let Self {
            progress,
            tally,
            sink,
            errors,
            ..
        } = self;
        match (computed, sink) {
            (Ok(()), Sink::Stream(stream)) => {
                progress.finish(&tally.summary(false));
                stream.finish()
            }
            (Ok(()), Sink::Kept(mut kept)) => {
                progress.finish(&tally.summary(errors.is_some()));
                kept.layout.end_part(&mut kept.part)?;
                let last = (kept.part, kept.errors);
                kept.unfinished.finish(&*kept.layout, last, errors, &tally)
            }
            (Err(error), Sink::Stream(_)) => {
                progress.finish(&[]);
                Err(error)
            }
            (Err(error), Sink::Kept(mut kept)) => {
                progress.finish(&[]);
                if kept.unfinished.is_kept() {
                    // Whatever ended the run is what is said.
                    let _ = kept.keep(&tally);
                    eprintln!("note: {}", kept.unfinished.description());
                }
                Err(error)
            }
        }
    }
}
