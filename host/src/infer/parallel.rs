//! Several texts at once: one thread reads them, others compute, ours hands on
//! the results in order.

use super::compute;
use crate::inputs::{Item, Items};
use crate::progress::Progress;
use encoderfile::{Encoder, Options, Prediction};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc};

/// An item and its place.
type Numbered = (usize, anyhow::Result<Item>);

pub(super) fn run(
    encoder: &Encoder,
    items: Items,
    options: &Options,
    threads: usize,
    progress: &Progress,
    mut emit: impl FnMut(usize, Prediction) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let total = items.total();
    let queue = Arc::new(Queue::default());
    // By itself, not one of the scope's: whoever writes standard input may wait
    // for us to end.
    let reader = std::thread::spawn({
        let queue = Arc::clone(&queue);
        move || queue.fill(items, threads)
    });
    // Bounded, so that a slow reader of the output holds the threads back.
    let (sender, receiver) = mpsc::sync_channel(64 * threads);
    let done = std::thread::scope(|scope| {
        for _ in 0..threads {
            let (sender, queue) = (sender.clone(), &queue);
            scope.spawn(move || work(encoder, options, total, queue, &sender));
        }
        drop(sender);
        let done = in_order(receiver, |index, result| {
            emit(index, result?)?;
            progress.advance();
            Ok(())
        });
        queue.drop_rest();
        done
    })?;
    let read = reader.join();
    anyhow::ensure!(
        read.is_ok_and(|read| read == done),
        "a thread ended before its texts were done"
    );
    Ok(())
}

/// Hands on every result when all before it have been, and says how many there were.
fn in_order<T>(
    results: impl IntoIterator<Item = (usize, T)>,
    mut hand_on: impl FnMut(usize, T) -> anyhow::Result<()>,
) -> anyhow::Result<usize> {
    let mut waiting = BTreeMap::new();
    let mut due = 0;
    for (index, result) in results {
        waiting.insert(index, result);
        while let Some(result) = waiting.remove(&due) {
            hand_on(due, result)?;
            due += 1;
        }
    }
    Ok(due)
}

/// One thread's share: the next text that nobody has taken, until none is left
/// or nobody listens.
fn work(
    encoder: &Encoder,
    options: &Options,
    total: Option<usize>,
    queue: &Queue,
    sender: &mpsc::SyncSender<(usize, anyhow::Result<Prediction>)>,
) {
    let mut session = None;
    while let Some((index, item)) = queue.take() {
        let result = item.and_then(|item| {
            let session = match &mut session {
                Some(session) => session,
                none => none.insert(encoder.session()?),
            };
            compute(session, index, &item, options, total)
        });
        if sender.send((index, result)).is_err() {
            return;
        }
    }
}

/// Items on their way from the thread that reads them to those that compute.
#[derive(Default)]
struct Queue {
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

#[derive(Default)]
struct Waiting {
    items: VecDeque<Numbered>,
    /// Nothing is added any more.
    ended: bool,
}

impl Queue {
    /// Adds every item, at most `ahead` before they are taken, and says how many
    /// there were.
    fn fill(&self, items: impl Iterator<Item = anyhow::Result<Item>>, ahead: usize) -> usize {
        let _end = End(self);
        let mut count = 0;
        for item in items {
            let is_full = |waiting: &mut Waiting| !waiting.ended && waiting.items.len() >= ahead;
            let mut waiting = self.wait_while(is_full);
            if waiting.ended {
                break;
            }
            waiting.items.push_back((count, item));
            count += 1;
            self.changed.notify_all();
        }
        count
    }

    /// The next item; `None` when there will be none.
    fn take(&self) -> Option<Numbered> {
        let is_empty = |waiting: &mut Waiting| !waiting.ended && waiting.items.is_empty();
        let item = self.wait_while(is_empty).items.pop_front();
        self.changed.notify_all();
        item
    }

    /// After an error, nobody wants what is still to come.
    fn drop_rest(&self) {
        let _end = End(self);
        self.lock().items.clear();
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait_while(&self, condition: impl FnMut(&mut Waiting) -> bool) -> MutexGuard<'_, Waiting> {
        let waiting = self.changed.wait_while(self.lock(), condition);
        waiting.unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ends a queue when it is dropped: nobody waits for a thread that panicked.
struct End<'a>(&'a Queue);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.lock().ended = true;
        self.0.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::{Item, Queue};

    #[test]
    fn a_queue_ends_with_the_thread_that_fills_it() {
        let queue = Queue::default();
        std::thread::scope(|scope| {
            let filling = scope.spawn(|| {
                let read = || -> Option<anyhow::Result<Item>> { panic!("a reader's") };
                let items = std::iter::from_fn(read);
                queue.fill(items, 1)
            });
            assert!(queue.take().is_none());
            assert!(filling.join().is_err());
        });
    }
}
