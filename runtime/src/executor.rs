//! The threads of a model: those that load it, and those that compute texts. The pool
//! that shares one text among cores (`runtime/graph/src/cores.rs`) has as many.

use encoderfile_format::Threads;
use std::num::NonZeroUsize;
#[cfg(not(target_family = "wasm"))]
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicUsize, Ordering};

/// On how many threads a model is loaded, and texts are computed.
///
/// No result depends on it. In WebAssembly there is one thread, whatever is said here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Executor {
    /// One for each core that this process may use.
    #[default]
    AllCores,
    /// So many compute texts at once. The caller's thread and the one that reads several
    /// texts wait beside these, and loading may take a few more.
    Threads(NonZeroUsize),
    /// The caller's and no other.
    OneThread,
}

impl Executor {
    /// How many threads that is here: at least one.
    pub fn threads(self) -> usize {
        if cfg!(target_family = "wasm") {
            return 1;
        }
        match self {
            Self::AllCores => std::thread::available_parallelism().map_or(1, usize::from),
            Self::Threads(threads) => threads.get(),
            Self::OneThread => 1,
        }
    }

    /// How many threads compute several texts, of which there are no more than `most`; `None` where
    /// the caller's does.
    pub(crate) fn workers(self, most: Option<usize>) -> Option<usize> {
        let most = most.unwrap_or(usize::MAX);
        let is_callers = cfg!(target_family = "wasm") || self == Self::OneThread || most <= 1;
        (!is_callers).then(|| self.threads().min(most))
    }

    /// Both, at once where there are two threads. A panic of either is the caller's.
    #[cfg(not(target_family = "wasm"))]
    pub(crate) fn join<A: Send, B>(
        self,
        first: impl Fn() -> A + Sync,
        second: impl FnOnce() -> B,
    ) -> (A, B) {
        if self.threads() == 1 {
            return (first(), second());
        }
        std::thread::scope(|scope| {
            let spawned = std::thread::Builder::new().spawn_scoped(scope, &first);
            let second = second();
            let first = match spawned {
                Ok(thread) => thread.join().unwrap_or_else(|panic| resume_unwind(panic)),
                // No thread is to be had, which is a matter of speed alone.
                Err(_) => first(),
            };
            (first, second)
        })
    }

    /// Both, one after the other.
    #[cfg(target_family = "wasm")]
    pub(crate) fn join<A: Send, B>(
        self,
        first: impl Fn() -> A + Sync,
        second: impl FnOnce() -> B,
    ) -> (A, B) {
        (first(), second())
    }

    /// Calls `work` on so many threads, of which the caller's is one.
    fn on_threads(self, threads: usize, work: &(dyn Fn() + Sync)) {
        match threads {
            0 | 1 => work(),
            threads => {
                self.join(work, || self.on_threads(threads.saturating_sub(1), work));
            }
        }
    }
}

impl Threads for Executor {
    fn count(&self) -> usize {
        self.threads()
    }

    fn each(&self, pieces: usize, work: &(dyn Fn(usize) + Sync)) {
        let next = AtomicUsize::new(0);
        // Whoever is done with a piece takes the next.
        let take = || {
            let pieces_left = std::iter::repeat_with(|| next.fetch_add(1, Ordering::Relaxed));
            pieces_left
                .take_while(|piece| *piece < pieces)
                .for_each(work);
        };
        self.on_threads(self.threads().min(pieces), &take);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;
    use std::sync::Mutex;
    use std::thread;
    use std::time::Duration;

    #[test]
    fn no_more_threads_than_were_asked_for() {
        let three = Executor::Threads(NonZeroUsize::new(3).unwrap());
        let seen = Mutex::new(HashSet::new());
        three.each(100, &|_| {
            seen.lock().unwrap().insert(thread::current().id());
            thread::sleep(Duration::from_millis(1));
        });
        let seen = seen.into_inner().unwrap().len();
        assert!((2..=3).contains(&seen), "{seen} threads");
    }

    #[test]
    fn every_piece_is_done_once() {
        let three = NonZeroUsize::new(3).unwrap();
        for executor in [
            Executor::AllCores,
            Executor::Threads(three),
            Executor::OneThread,
        ] {
            for pieces in [0, 1, 2, 7] {
                let done: Vec<AtomicUsize> = (0..pieces).map(|_| AtomicUsize::new(0)).collect();
                executor.each(pieces, &|piece| {
                    done[piece].fetch_add(1, Ordering::Relaxed);
                });
                let done: Vec<usize> = done.into_iter().map(AtomicUsize::into_inner).collect();
                assert_eq!(done, vec![1; pieces], "{executor:?}");
            }
        }
    }
}
