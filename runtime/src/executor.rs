//! The threads of a model: those that load it, and those that compute texts. The pool
//! that shares one text among cores (`runtime/graph/src/cores.rs`) has as many.

use encoderfile_format::Threads;
use std::num::NonZeroUsize;
#[cfg(not(target_family = "wasm"))]
use std::panic::resume_unwind;

/// On how many threads a model is loaded, and texts are computed.
///
/// No result depends on it. In WebAssembly there is one thread, whatever is said here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Executor {
    /// One for each core that this process may use.
    #[default]
    AllCores,
    /// So many, that of the caller included.
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
}

impl Threads for Executor {
    fn count(&self) -> usize {
        self.threads()
    }

    fn each(&self, pieces: usize, work: &(dyn Fn(usize) + Sync)) {
        let Some(last) = pieces.checked_sub(1) else {
            return;
        };
        if last == 0 {
            return work(0);
        }
        let half = pieces / 2;
        self.join(
            || self.each(half, work),
            || self.each(pieces.saturating_sub(half), &|piece| work(half + piece)),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

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
