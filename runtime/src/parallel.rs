//! Several texts at once: one thread reads them, others compute, the caller's hands
//! on the results in order. A thread computes texts that are short beside each other.

use crate::panics::guarded;
use crate::{Error, Executor, Item, Prediction, SharedOptions};
use encoderfile_encoder::{BATCH_TOKENS, Encoder, Session, Work};
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
    match executor.workers(items.size_hint().1) {
        #[cfg(not(target_family = "wasm"))]
        Some(threads) => threaded::run(encoder, items, options, threads, emit),
        _ => here(encoder, items, options, emit),
    }
}

fn here<T, E>(
    encoder: &Encoder,
    mut items: impl Iterator<Item = Result<Tagged<T>, E>>,
    options: &Arc<SharedOptions>,
    mut emit: impl FnMut(Computed<T>) -> Result<(), E>,
) -> Result<(), E> {
    let mut worker = Worker::new(encoder, options);
    while let Some(item) = items.next() {
        let mut end = Ok(());
        let more = || {
            // Whoever gives texts one after another may wait for a result before the next.
            let is_there = items.size_hint().0 > 0;
            let item = is_there.then(|| items.next()).flatten()?;
            item.map_err(|error| end = Err(error)).ok()
        };
        worker
            .compute(item?, more)
            .into_iter()
            .try_for_each(&mut emit)?;
        end?;
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

    /// Computes an item, and beside it those that there are `more` of, until their tokens are one pass
    /// over the weights.
    fn compute<T>(
        &mut self,
        first: Tagged<T>,
        mut more: impl FnMut() -> Option<Tagged<T>>,
    ) -> Vec<Computed<T>> {
        let (mut items, mut works) = (Vec::new(), Vec::new());
        let mut tokens = 0;
        let mut next = Some(first);
        while let Some((tag, item)) = next {
            let work = item.as_ref().map(|item| self.prepare(item));
            let (work, failed) = match work.transpose() {
                Ok(work) => (work, None),
                Err(error) => (None, Some(error)),
            };
            tokens += work.as_ref().map_or(0, Work::remaining).max(1);
            items.push((tag, item, failed));
            works.extend(work);
            next = if tokens < BATCH_TOKENS { more() } else { None };
        }
        let mut results = self.finish(works).into_iter().flatten();
        let computed = items.into_iter().map(|(tag, item, failed)| {
            let result = item.map(|item| match failed {
                Some(error) => Err(error),
                // All of them have none where one panicked.
                None => results.next().unwrap_or_else(|| self.alone(&item)),
            });
            (tag, result)
        });
        computed.collect()
    }

    fn prepare(&self, item: &Item) -> Result<Work, Error> {
        guarded(|| self.encoder.prepare(item.input(), self.options))
    }

    /// The result of each; `None` where one of several panicked.
    fn finish(&mut self, mut works: Vec<Work>) -> Option<Vec<Result<Prediction, Error>>> {
        let computed = self.with_session(|session| Ok(session.finish(&mut works)));
        match computed {
            Ok(results) => Some(results),
            Err(error) if works.len() == 1 => Some(vec![Err(error)]),
            Err(_) => None,
        }
    }

    fn alone(&mut self, item: &Item) -> Result<Prediction, Error> {
        let options = self.options;
        self.with_session(|session| session.infer_with(item.input(), options))
    }

    fn with_session<R>(
        &mut self,
        compute: impl FnOnce(&mut Session<'a>) -> Result<R, Error>,
    ) -> Result<R, Error> {
        // Whatever a panic leaves behind in the session goes with it.
        let session = self.session.take();
        guarded(|| {
            let mut session = match session {
                Some(session) => session,
                None => self.encoder.session()?,
            };
            let result = compute(&mut session);
            self.session = Some(session);
            result
        })
    }
}

#[cfg(not(target_family = "wasm"))]
mod threaded;
