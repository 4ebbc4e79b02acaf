//! Running many texts: one session a thread, results in order as they come.

use crate::inputs::{Item, Items};
use crate::progress::Progress;
use encoderfile::{Encoder, Options, Prediction, Session};

/// Computes every text and hands each result to `emit` with its index, in
/// order. Stops at the first error, of a text or of `emit`.
#[cfg(not(target_family = "wasm"))]
pub(crate) fn run(
    encoder: &Encoder,
    items: Items,
    options: &Options,
    threads: usize,
    progress: &Progress,
    emit: impl FnMut(usize, Prediction) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let threads = threads.clamp(1, items.total().unwrap_or(threads).max(1));
    if threads == 1 {
        return run_here(encoder, items, options, progress, emit);
    }
    parallel::run(encoder, items, options, threads, progress, emit)
}

/// wasm32-wasip1 has one thread.
#[cfg(target_family = "wasm")]
pub(crate) fn run(
    encoder: &Encoder,
    items: Items,
    options: &Options,
    _threads: usize,
    progress: &Progress,
    emit: impl FnMut(usize, Prediction) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    run_here(encoder, items, options, progress, emit)
}

fn run_here(
    encoder: &Encoder,
    items: Items,
    options: &Options,
    progress: &Progress,
    mut emit: impl FnMut(usize, Prediction) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let total = items.total();
    let mut session = encoder.session()?;
    for (index, item) in items.enumerate() {
        let prediction = compute(&mut session, index, &item?, options, total)?;
        emit(index, prediction)?;
        progress.advance();
    }
    Ok(())
}

/// The result for an item. Says which text an error is about, where there are several.
fn compute(
    session: &mut Session<'_>,
    index: usize,
    item: &Item,
    options: &Options,
    total: Option<usize>,
) -> anyhow::Result<Prediction> {
    session.infer(item.input(), options).map_err(|error| {
        let error = anyhow::Error::new(error);
        if total == Some(1) {
            error
        } else {
            error.context(format!("text {}", index + 1))
        }
    })
}

#[cfg(not(target_family = "wasm"))]
mod parallel;
