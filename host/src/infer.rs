//! Running many texts: one session a thread, results in order as they come.

use crate::inputs::Item;
use crate::progress::Progress;
use encoderfile_runtime::{Encoder, Error, Options, Prediction};

/// Computes every text and hands each result to `emit` with its index, in
/// order. Stops at the first error, of a text or of `emit`.
#[cfg(not(target_family = "wasm"))]
pub(crate) fn run(
    encoder: &Encoder,
    texts: &[Item],
    options: &Options,
    threads: usize,
    progress: &Progress,
    mut emit: impl FnMut(usize, Prediction) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    use std::collections::BTreeMap;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;

    let threads = threads.clamp(1, texts.len().max(1));
    if threads == 1 {
        return run_here(encoder, texts, options, progress, emit);
    }
    let next = AtomicUsize::new(0);
    // Bounded, so that a slow reader of the output holds the threads back.
    let (sender, receiver) = mpsc::sync_channel(64 * threads);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            let (sender, next) = (sender.clone(), &next);
            scope.spawn(move || {
                for_each_taken(encoder, texts, options, next, |message| {
                    sender.send(message).is_ok()
                });
            });
        }
        drop(sender);
        let mut waiting = BTreeMap::new();
        let mut due = 0;
        for (index, result) in receiver {
            waiting.insert(index, result);
            while let Some(result) = waiting.remove(&due) {
                let emitted = result
                    .map_err(|error| at(due, texts.len(), error))
                    .and_then(|prediction| emit(due, prediction));
                if let Err(error) = emitted {
                    next.store(texts.len(), Ordering::Relaxed);
                    return Err(error);
                }
                progress.advance();
                due += 1;
            }
        }
        anyhow::ensure!(
            due == texts.len(),
            "a worker thread ended before its texts were done"
        );
        Ok(())
    })
}

/// One thread's share: the next text that nobody has taken, until none is left
/// or `send` says that nobody listens.
#[cfg(not(target_family = "wasm"))]
fn for_each_taken(
    encoder: &Encoder,
    texts: &[Item],
    options: &Options,
    next: &std::sync::atomic::AtomicUsize,
    mut send: impl FnMut((usize, Result<Prediction, Error>)) -> bool,
) {
    use std::sync::atomic::Ordering;
    let mut session = None;
    loop {
        let index = next.fetch_add(1, Ordering::Relaxed);
        let Some(text) = texts.get(index) else { return };
        let result = match &mut session {
            Some(session) => Ok(session),
            none => encoder.session().map(|new| none.insert(new)),
        }
        .and_then(|session| session.infer(text.input(), options));
        if !send((index, result)) {
            return;
        }
    }
}

/// wasm32-wasip1 has one thread.
#[cfg(target_family = "wasm")]
pub(crate) fn run(
    encoder: &Encoder,
    texts: &[Item],
    options: &Options,
    _threads: usize,
    progress: &Progress,
    emit: impl FnMut(usize, Prediction) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    run_here(encoder, texts, options, progress, emit)
}

fn run_here(
    encoder: &Encoder,
    texts: &[Item],
    options: &Options,
    progress: &Progress,
    mut emit: impl FnMut(usize, Prediction) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut session = encoder.session()?;
    for (index, text) in texts.iter().enumerate() {
        let prediction = session.infer(text.input(), options);
        emit(
            index,
            prediction.map_err(|error| at(index, texts.len(), error))?,
        )?;
        progress.advance();
    }
    Ok(())
}

/// Says which text an error is about, where there are several.
fn at(index: usize, texts: usize, error: Error) -> anyhow::Error {
    if texts == 1 {
        return error.into();
    }
    anyhow::Error::new(error).context(format!("text {}", index + 1))
}
