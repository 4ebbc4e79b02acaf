//! Running many texts: one session a thread, results in order as they come.

use crate::inputs::{Item, Items};
use crate::progress::Progress;
use encoderfile_runtime::{Encoder, Options, Prediction, Session};

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
mod parallel {
    use super::compute;
    use crate::inputs::{Item, Items};
    use crate::progress::Progress;
    use encoderfile_runtime::{Encoder, Options, Prediction};
    use std::collections::BTreeMap;
    use std::sync::{Mutex, PoisonError, mpsc};

    /// Items on their way to the threads.
    struct Queue {
        items: Option<Items>,
        next: usize,
    }

    impl Queue {
        /// The next item and its place; `None` when there are none, or nobody
        /// wants them any more.
        fn take(&mut self) -> Option<(usize, anyhow::Result<Item>)> {
            let item = self.items.as_mut()?.next()?;
            let index = self.next;
            self.next += 1;
            Some((index, item))
        }
    }

    pub(super) fn run(
        encoder: &Encoder,
        items: Items,
        options: &Options,
        threads: usize,
        progress: &Progress,
        mut emit: impl FnMut(usize, Prediction) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let total = items.total();
        let queue = Mutex::new(Queue {
            items: Some(items),
            next: 0,
        });
        let lock = || queue.lock().unwrap_or_else(PoisonError::into_inner);
        // Bounded, so that a slow reader of the output holds the threads back.
        let (sender, receiver) = mpsc::sync_channel(64 * threads);
        std::thread::scope(|scope| {
            for _ in 0..threads {
                let (sender, lock) = (sender.clone(), &lock);
                scope.spawn(move || {
                    work(
                        encoder,
                        options,
                        total,
                        || lock().take(),
                        |message| sender.send(message).is_ok(),
                    );
                });
            }
            drop(sender);
            let mut waiting = BTreeMap::new();
            let mut due = 0;
            for (index, result) in receiver {
                waiting.insert(index, result);
                while let Some(result) = waiting.remove(&due) {
                    let emitted = result.and_then(|prediction| emit(due, prediction));
                    if let Err(error) = emitted {
                        lock().items = None;
                        return Err(error);
                    }
                    progress.advance();
                    due += 1;
                }
            }
            anyhow::ensure!(
                due == lock().next,
                "a worker thread ended before its texts were done"
            );
            Ok(())
        })
    }

    /// One thread's share: the next text that nobody has taken, until none is
    /// left or `send` says that nobody listens.
    fn work(
        encoder: &Encoder,
        options: &Options,
        total: Option<usize>,
        take: impl Fn() -> Option<(usize, anyhow::Result<Item>)>,
        send: impl Fn((usize, anyhow::Result<Prediction>)) -> bool,
    ) {
        let mut session = None;
        while let Some((index, item)) = take() {
            let result = item.and_then(|item| {
                let session = match &mut session {
                    Some(session) => session,
                    none => none.insert(encoder.session()?),
                };
                compute(session, index, &item, options, total)
            });
            if !send((index, result)) {
                return;
            }
        }
    }
}
