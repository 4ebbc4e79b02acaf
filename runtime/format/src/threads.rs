//! The threads that hash, which are handed in: this crate starts none.

/// Whoever owns threads. How many there are changes no result.
pub trait Threads: Sync {
    /// How many pieces of work are done at once, at most.
    fn count(&self) -> usize;

    /// Calls `work` once with each number below `pieces`, in any order and on any
    /// thread, and returns when all calls have.
    fn each(&self, pieces: usize, work: &(dyn Fn(usize) + Sync));
}

/// The thread that asks, and no other.
#[derive(Clone, Copy, Debug)]
pub struct OneThread;

impl Threads for OneThread {
    fn count(&self) -> usize {
        1
    }

    fn each(&self, pieces: usize, work: &(dyn Fn(usize) + Sync)) {
        (0..pieces).for_each(work);
    }
}
