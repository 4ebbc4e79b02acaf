//! The threads: one that reads items, and one for each session.

use super::{Computed, Tagged, Worker, here};
use crate::SharedOptions;
use encoderfile_encoder::Encoder;
use std::collections::{BTreeMap, VecDeque};
use std::panic::resume_unwind;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;

/// How many items may be computed, or have been, beyond the one whose result is handed
/// on next; for each thread. So a slow item, or a slow reader of the output, holds the
/// threads back before their results fill the memory.
const ITEMS_AHEAD: usize = 64;

/// How many items are read before they are taken, for each thread: about as many short ones
/// as are computed beside each other.
const ITEMS_READ: usize = 32;

/// An item, or the caller's error in its place, and its number.
type Numbered<T, E> = (usize, Result<Tagged<T>, E>);

/// A result, or the caller's error in its place.
type Outcome<T, E> = Result<Computed<T>, E>;

pub(super) fn run<T: Send + 'static, E: Send + 'static>(
    encoder: &Encoder,
    items: impl Iterator<Item = Result<Tagged<T>, E>> + Send + 'static,
    options: &Arc<SharedOptions>,
    threads: usize,
    mut emit: impl FnMut(Computed<T>) -> Result<(), E>,
) -> Result<(), E> {
    let queue = Arc::new(Queue::new(threads));
    let items = Arc::new(Mutex::new(Some(items)));
    // By itself, not one of the scope's: whoever writes standard input may wait
    // for us to end.
    let reader = thread::Builder::new().spawn({
        let (queue, items) = (Arc::clone(&queue), Arc::clone(&items));
        move || queue.fill(lock(&items).take().into_iter().flatten())
    });
    let Ok(reader) = reader else {
        // No thread is to be had, which is a matter of speed alone.
        let items = lock(&items).take();
        return here(encoder, items.into_iter().flatten(), options, emit);
    };
    // As long as the queue lets items ahead.
    let (sender, receiver) = mpsc::channel();
    thread::scope(|scope| {
        let workers = (0..threads).map_while(|_| {
            let (queue, sender) = (&queue, sender.clone());
            let work = move || {
                let mut worker = Worker::new(encoder, options);
                // Where nobody listens any more, nothing is computed any more.
                let _ = work(&mut worker, queue, |index, outcome| {
                    sender.send((index, outcome)).map_err(drop)
                });
            };
            thread::Builder::new().spawn_scoped(scope, work).ok()
        });
        let workers = workers.count();
        drop(sender);
        let mut hand_on = |_, outcome: Outcome<T, E>| {
            emit(outcome?)?;
            queue.advance();
            Ok(())
        };
        let done = if workers == 0 {
            // All of it, since no thread is to be had.
            work(&mut Worker::new(encoder, options), &queue, hand_on)
        } else {
            in_order(receiver, &mut hand_on)
        };
        queue.drop_rest();
        done
    })?;
    match reader.join() {
        Ok(()) => Ok(()),
        Err(panic) => resume_unwind(panic),
    }
}

/// Hands on every result when all before it have been.
fn in_order<T, E>(
    results: impl IntoIterator<Item = (usize, T)>,
    mut hand_on: impl FnMut(usize, T) -> Result<(), E>,
) -> Result<(), E> {
    let mut waiting = BTreeMap::new();
    let mut due = 0;
    for (index, result) in results {
        waiting.insert(index, result);
        while let Some(result) = waiting.remove(&due) {
            hand_on(due, result)?;
            due += 1;
        }
    }
    Ok(())
}

/// One thread's share: the next items that nobody has taken, until none is left or `hand_on`
/// fails.
fn work<T, E, F>(
    worker: &mut Worker<'_>,
    queue: &Queue<T, E>,
    mut hand_on: impl FnMut(usize, Outcome<T, E>) -> Result<(), F>,
) -> Result<(), F> {
    while let Some((index, item)) = queue.take() {
        let mut failed = None;
        let numbered = |(index, item): Numbered<T, E>, failed: &mut Option<_>| match item {
            Ok((tag, item)) => Some(((index, tag), item)),
            Err(error) => {
                *failed = Some((index, error));
                None
            }
        };
        if let Some(first) = numbered((index, item), &mut failed) {
            // Those that wait are shared among the threads.
            let mut share = queue.len() / queue.threads;
            let more = || {
                share = share.checked_sub(1)?;
                numbered(queue.take_if_there()?, &mut failed)
            };
            for ((index, tag), result) in worker.compute(first, more) {
                hand_on(index, Ok((tag, result)))?;
            }
        }
        if let Some((index, error)) = failed {
            hand_on(index, Err(error))?;
        }
    }
    Ok(())
}

/// Items on their way from the thread that reads them to those that compute.
struct Queue<T, E> {
    waiting: Mutex<Waiting<T, E>>,
    changed: Condvar,
    threads: usize,
}

struct Waiting<T, E> {
    items: VecDeque<Numbered<T, E>>,
    /// Nothing is added any more.
    ended: bool,
    /// How many results have been handed on.
    handed_on: usize,
}

impl<T, E> Queue<T, E> {
    fn new(threads: usize) -> Self {
        Self {
            waiting: Mutex::new(Waiting {
                items: VecDeque::new(),
                ended: false,
                handed_on: 0,
            }),
            changed: Condvar::new(),
            threads,
        }
    }

    /// Adds every item, not too many before they are taken.
    fn fill(&self, items: impl Iterator<Item = Result<Tagged<T>, E>>) {
        let _end = End(self);
        let ahead = ITEMS_READ.saturating_mul(self.threads);
        for item in items.enumerate() {
            let is_full =
                |waiting: &mut Waiting<T, E>| !waiting.ended && waiting.items.len() >= ahead;
            let mut waiting = self.wait_while(is_full);
            if waiting.ended {
                break;
            }
            waiting.items.push_back(item);
            self.changed.notify_all();
        }
    }

    /// The next item, when it is not too far ahead; `None` when there will be none.
    fn take(&self) -> Option<Numbered<T, E>> {
        let item = self.wait_while(|it| self.is_early(it)).items.pop_front();
        self.changed.notify_all();
        item
    }

    /// How many items wait.
    fn len(&self) -> usize {
        lock(&self.waiting).items.len()
    }

    /// The next item, if there is one and it is not too far ahead.
    fn take_if_there(&self) -> Option<Numbered<T, E>> {
        let mut waiting = lock(&self.waiting);
        let item = match self.is_early(&waiting) {
            true => None,
            false => waiting.items.pop_front(),
        };
        drop(waiting);
        self.changed.notify_all();
        item
    }

    fn is_early(&self, waiting: &Waiting<T, E>) -> bool {
        match waiting.items.front() {
            Some((index, _)) => {
                let ahead = ITEMS_AHEAD.saturating_mul(self.threads);
                *index >= waiting.handed_on.saturating_add(ahead)
            }
            None => !waiting.ended,
        }
    }

    /// One more result has been handed on.
    fn advance(&self) {
        lock(&self.waiting).handed_on += 1;
        self.changed.notify_all();
    }

    /// After an error, nobody wants what is still to come.
    fn drop_rest(&self) {
        let _end = End(self);
        lock(&self.waiting).items.clear();
    }

    fn wait_while(
        &self,
        condition: impl FnMut(&mut Waiting<T, E>) -> bool,
    ) -> MutexGuard<'_, Waiting<T, E>> {
        let waiting = self.changed.wait_while(lock(&self.waiting), condition);
        waiting.unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ends a queue when it is dropped: nobody waits for a thread that panicked.
struct End<'a, T, E>(&'a Queue<T, E>);

impl<T, E> Drop for End<'_, T, E> {
    fn drop(&mut self) {
        lock(&self.0.waiting).ended = true;
        self.0.changed.notify_all();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::{ITEMS_AHEAD, Queue, Tagged, in_order, lock};
    use crate::Item;

    #[test]
    fn a_queue_ends_with_the_thread_that_fills_it() {
        let queue = Queue::<(), ()>::new(1);
        std::thread::scope(|scope| {
            let filling = scope.spawn(|| {
                let read = || -> Option<Result<Tagged<()>, ()>> { panic!("a reader's") };
                queue.fill(std::iter::from_fn(read));
            });
            assert!(queue.take().is_none());
            assert!(filling.join().is_err());
        });
    }

    /// A first item that takes long leaves no more than so many results waiting.
    #[test]
    fn items_are_taken_only_so_far_ahead() {
        let queue = Queue::<(), ()>::new(1);
        let take = || queue.take_if_there().map(|(index, _)| index);
        let add = |first: usize| {
            let items = first..first + 10;
            let items = items.map(|index| (index, Ok(((), Some(Item::from("a text"))))));
            lock(&queue.waiting).items.extend(items);
        };
        (0..ITEMS_AHEAD).step_by(10).for_each(add);
        for index in 0..ITEMS_AHEAD {
            assert_eq!(take(), Some(index));
        }
        assert!(queue.len() > 0);
        assert_eq!(take(), None);
        queue.advance();
        assert_eq!(take(), Some(ITEMS_AHEAD));
        assert_eq!(take(), None);
        queue.drop_rest();
        assert_eq!(queue.take(), None);
    }

    #[test]
    fn results_are_handed_on_in_order() {
        let mut seen = Vec::new();
        let results = [(2, 'c'), (0, 'a'), (3, 'd'), (1, 'b')];
        in_order(results, |index, result| {
            seen.push((index, result));
            Ok::<_, ()>(())
        })
        .unwrap();
        assert_eq!(seen, [(0, 'a'), (1, 'b'), (2, 'c'), (3, 'd')]);
        let stopped = in_order([(0, 'a'), (1, 'b')], |index, _| {
            if index == 0 { Err("stop") } else { Ok(()) }
        });
        assert_eq!(stopped, Err("stop"));
    }
}
