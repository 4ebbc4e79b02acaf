//! Numbers into the caller's memory: embeddings, and similarities of texts.

use crate::border::{Failure, Report, Status, fallible};
use crate::handle::{self, Handle};
use crate::memory::{self, Text};
use encoderfile::{Item, Model, Options, Values};
use std::ffi::c_char;
use std::mem::MaybeUninit;

/// The embeddings of texts, on the model's threads: `[count, dimensions]` in float32, row-major,
/// written into the caller's memory. `dimensions` is what `encoderfile_dimensions` says, unless the
/// options have another.
///
/// For a model that gives one vector a text; the others answer `encoderfile_infer_json`.
///
/// `texts`: `count` of them, each of UTF-8.
/// `options`: NULL, or `options_len` bytes of a JSON object with options as `/predict` takes them,
/// such as `{"prompt_name": "query", "normalize": true, "dimensions": 128}`.
/// `embeddings`: room for `capacity` numbers, of which count * dimensions are written. Where the
/// call fails, what is in them means nothing.
/// `error`: NULL, or where an error is written for `encoderfile_error_free`, NULL for none. It is
/// that of the first text that fails.
///
/// # Safety
/// Each pointer is NULL, or points to what is described here, and nobody changes it meanwhile.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn encoderfile_encode(
    model: Handle,
    texts: *const Text,
    count: usize,
    options: *const c_char,
    options_len: usize,
    embeddings: *mut f32,
    capacity: usize,
    error: *mut *mut Report,
) -> Status {
    // SAFETY: as the caller says of each pointer.
    unsafe {
        fallible(error, || {
            let model = handle::model(model)?;
            let texts = memory::texts("texts", texts, count)?;
            let options = read_options(options, options_len)?;
            let embeddings = memory::room("embeddings", embeddings, capacity)?;
            encode(&model, &texts, &options, embeddings)
        })
    }
}

/// The similarity of each text to a source, by the function that the model is made for
/// (`"similarity"` in `encoderfile_info_json`): more is more alike. A cosine is from -1 to 1, a dot
/// product of any size; the Euclidean and the Manhattan distance are negated, so 0 at most.
///
/// `source`: of `source_len` bytes of UTF-8.
/// `similarities`: room for `capacity` numbers, of which `count` are written.
/// The others are as in `encoderfile_encode`.
///
/// # Safety
/// Each pointer is NULL, or points to what is described here, and nobody changes it meanwhile.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn encoderfile_similarity(
    model: Handle,
    source: *const c_char,
    source_len: usize,
    texts: *const Text,
    count: usize,
    options: *const c_char,
    options_len: usize,
    similarities: *mut f32,
    capacity: usize,
    error: *mut *mut Report,
) -> Status {
    // SAFETY: as the caller says of each pointer.
    unsafe {
        fallible(error, || {
            let model = handle::model(model)?;
            let source = memory::text("source", source, source_len)?;
            let texts = memory::texts("texts", texts, count)?;
            let options = read_options(options, options_len)?;
            let similarities = memory::room("similarities", similarities, capacity)?;
            let similarities = rows(similarities, texts.len(), 1)?;
            let computed = model.similarity(source, texts, &options)?;
            similarities.write_copy_of_slice(&computed);
            Ok(())
        })
    }
}

/// Options of the caller's JSON; none of its memory is kept.
///
/// # Safety
/// As [`memory::text`].
unsafe fn read_options(data: *const c_char, len: usize) -> Result<Options, Failure> {
    // SAFETY: as the caller says.
    match unsafe { memory::text("options", data, len) }? {
        "" => Ok(Options::default()),
        json => Ok(Options::from_json(json)?),
    }
}

/// Writes the embedding of each text, one after another, to the beginning of `embeddings`.
fn encode(
    model: &Model,
    texts: &[&str],
    options: &Options,
    embeddings: &mut [MaybeUninit<f32>],
) -> Result<(), Failure> {
    let width = width(model, options)?;
    let mut rows = rows(embeddings, texts.len(), width)?.chunks_exact_mut(width.max(1));
    let items: Vec<Item> = texts.iter().map(|&text| text.into()).collect();
    model.infer_each(items.into_iter().map(Ok), options, |_, result| {
        match (result?.values, rows.next()) {
            (Values::SentenceEmbedding { embedding }, Some(row))
                if embedding.len() == row.len() =>
            {
                row.write_copy_of_slice(&embedding);
                Ok(())
            }
            _ => Err(Failure::NotOneVector),
        }
    })
}

/// How many values a text's embedding has with these options, which the model takes.
fn width(model: &Model, options: &Options) -> Result<usize, Failure> {
    let dimensions = model.dimensions().ok_or(Failure::NotOneVector)?;
    model.check(options)?;
    Ok(options.dimensions.unwrap_or(dimensions))
}

/// The beginning of `room`, for so many rows.
fn rows(
    room: &mut [MaybeUninit<f32>],
    rows: usize,
    width: usize,
) -> Result<&mut [MaybeUninit<f32>], Failure> {
    let capacity = room.len();
    let needed = rows.checked_mul(width);
    let found = needed.and_then(|needed| room.get_mut(..needed));
    found.ok_or(Failure::BufferTooSmall {
        capacity,
        rows,
        width,
        needed: rows as u128 * width as u128,
    })
}
