//! Several texts at once: one thread reads them, others compute, the caller's hands
//! on the results in order.

use crate::panics::guarded;
use crate::{Error, Executor, Item, Prediction, SharedOptions};
use encoderfile_encoder::{Encoder, Session};
use std::sync::Arc;

/// What goes along with an item to its result, and the item; `None` where nothing is to be computed.
pub(crate) type Tagged<T> = (T, Option<Item>);

/// What went along with an item, and its result.
pub(crate) type Computed<T> = (T, Option<Result<Prediction, Error>>);

/// Computes every item, and hands each result to `emit`, in order.
/// Stops at the first error of an item's source or of `emit`.
pub(crate) fn run<T: Send + 'static, E: Send + 'static>(
    encoder: &Encoder,
    items: impl Iterator<Item = Result<Tagged<T>, E>> + Send + 'static,
    options: &Arc<SharedOptions>,
    executor: Executor,
    emit: impl FnMut(Computed<T>) -> Result<(), E>,
) -> Result<(), E> {
    let most = items.size_hint().1.unwrap_or(usize::MAX).max(1);
    match executor.threads().min(most) {
        #[cfg(not(target_family = "wasm"))]
        threads @ 2.. => threaded::run(encoder, items, options, threads, emit),
        _ => here(encoder, items, options, emit),
    }
}

fn here<T, E>(
    encoder: &Encoder,
    items: impl Iterator<Item = Result<Tagged<T>, E>>,
    options: &Arc<SharedOptions>,
    mut emit: impl FnMut(Computed<T>) -> Result<(), E>,
) -> Result<(), E> {
    let mut worker = Worker::new(encoder, options);
    for item in items {
        emit(worker.compute_tagged(item?))?;
    }
    Ok(())
}

/// One thread's session, made when it is needed.
struct Worker<'a> {
    encoder: &'a Encoder,
    options: &'a Arc<SharedOptions>,
    session: Option<Session<'a>>,
}

impl<'a> Worker<'a> {
    fn new(encoder: &'a Encoder, options: &'a Arc<SharedOptions>) -> Self {
        Self {
            encoder,
            options,
            session: None,
        }
    }

    fn compute_tagged<T>(&mut self, (tag, item): Tagged<T>) -> Computed<T> {
        (tag, item.map(|item| self.compute(&item)))
    }

    fn compute(&mut self, item: &Item) -> Result<Prediction, Error> {
        // Whatever a panic leaves behind in the session goes with it.
        let session = self.session.take();
        guarded(|| {
            let mut session = match session {
                Some(session) => session,
                None => self.encoder.session()?,
            };
            let result = session.infer_with(item.input(), self.options);
            self.session = Some(session);
            result
        })
    }
}

#[cfg(not(target_family = "wasm"))]
mod threaded;
