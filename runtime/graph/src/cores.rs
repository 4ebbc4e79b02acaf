//! Several cores on one text, while there are at least two for each that is being computed.
//!
//! **Invariant:** how many there are changes no result: what is split are rows,
//! heads and the like, each of which is computed as it would be alone.

use encoderfile_kernels::Parallel;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The cores of an encoder, and how many texts share them.
#[derive(Debug)]
pub(crate) struct Cores {
    total: AtomicUsize,
    texts: AtomicUsize,
    #[cfg(not(target_family = "wasm"))]
    pool: std::sync::OnceLock<Option<rayon::ThreadPool>>,
}

/// Less work than this, in multiplications, takes less time than to have it done
/// by another thread. Tests have small models.
const PART_MIN: usize = if cfg!(test) { 1 << 8 } else { 1 << 22 };

/// Turns of a loop that waits: some tenths of a millisecond, longer than the operators between two
/// that are cut, and than it takes to wake a thread.
#[cfg(not(target_family = "wasm"))]
const TURNS: usize = 1 << 10;

impl Cores {
    /// One, until more are allowed.
    pub(crate) fn one() -> Self {
        Self {
            total: AtomicUsize::new(1),
            texts: AtomicUsize::new(0),
            #[cfg(not(target_family = "wasm"))]
            pool: std::sync::OnceLock::new(),
        }
    }

    /// Allows so many, from the next text on.
    pub(crate) fn allow(&self, total: usize) {
        self.total.store(total.max(1), Ordering::Relaxed);
    }

    /// Counts a text as being computed until what is returned is dropped.
    pub(crate) fn enter(&self) -> Text<'_> {
        self.texts.fetch_add(1, Ordering::Relaxed);
        Text(self)
    }

    /// How many there are for a text.
    fn of_a_text(&self) -> usize {
        let total = self.total.load(Ordering::Relaxed);
        total / self.texts.load(Ordering::Relaxed).max(1)
    }

    /// Calls `compute` where others of the cores can take parts of it at once. A thread that is
    /// one of theirs computes itself what no other has begun, and does not sleep when it waits.
    #[cfg(not(target_family = "wasm"))]
    pub(crate) fn compute<T: Send>(&self, compute: impl FnOnce() -> T + Send) -> T {
        match self.pool().filter(|_| self.of_a_text() > 1) {
            Some(pool) => pool.install(compute),
            None => compute(),
        }
    }

    #[cfg(target_family = "wasm")]
    pub(crate) fn compute<T: Send>(&self, compute: impl FnOnce() -> T + Send) -> T {
        compute()
    }

    /// The threads, unless none are to be had, which is a matter of speed alone.
    #[cfg(not(target_family = "wasm"))]
    fn pool(&self) -> Option<&rayon::ThreadPool> {
        let pool = self.pool.get_or_init(|| {
            let threads = self.total.load(Ordering::Relaxed);
            let builder = rayon::ThreadPoolBuilder::new().num_threads(threads);
            builder.build().ok()
        });
        pool.as_ref()
    }

    /// Calls `work` on this thread, and at the same time on others, `threads` in all; returns when
    /// all calls have, which is soon after `is_done`.
    #[cfg(not(target_family = "wasm"))]
    fn at_once(&self, threads: usize, work: &(dyn Fn() + Sync), is_done: &dyn Fn() -> bool) {
        let Some(pool) = self.pool() else {
            return work();
        };
        let asks = pool.current_thread_index();
        pool.in_place_scope(|scope| {
            for _ in 1..threads {
                scope.spawn(move |_| {
                    work();
                    linger(asks);
                });
            }
            work();
            // What others have begun is mostly done sooner than a thread that sleeps would wake.
            wait_until(is_done);
        });
    }

    #[cfg(target_family = "wasm")]
    fn at_once(&self, _threads: usize, work: &(dyn Fn() + Sync), _is_done: &dyn Fn() -> bool) {
        work();
    }
}

/// Has this thread of a pool look for work for a while, once it has returned to the pool; unless it
/// is the one that asks, which has work.
#[cfg(not(target_family = "wasm"))]
fn linger(asks: Option<usize>) {
    let this = rayon::current_thread_index();
    if this != asks {
        rayon::spawn(move || {
            // Another, which is about to have it instead, waits for work of its own.
            if rayon::current_thread_index() == this {
                wait_until(&|| rayon::yield_now() == Some(rayon::Yield::Executed));
            }
        });
    }
}

/// Waits for a while without sleeping.
#[cfg(not(target_family = "wasm"))]
fn wait_until(is_done: &dyn Fn() -> bool) {
    for _ in 0..TURNS {
        if is_done() {
            return;
        }
        (0..8).for_each(|_| std::hint::spin_loop());
    }
}

impl Parallel for Cores {
    fn parts(&self, multiplications: usize) -> usize {
        self.of_a_text().min(multiplications / PART_MIN).max(1)
    }

    fn each(&self, count: usize, compute: &(dyn Fn(usize) + Sync)) {
        let (next, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
        // Whoever is done with a part takes the next.
        let work = || {
            let parts = std::iter::repeat_with(|| next.fetch_add(1, Ordering::Relaxed));
            for part in parts.take_while(|part| *part < count) {
                compute(part);
                done.fetch_add(1, Ordering::Relaxed);
            }
        };
        let is_done = || done.load(Ordering::Relaxed) >= count;
        match self.of_a_text().min(count) {
            0 | 1 => work(),
            threads => self.at_once(threads, &work, &is_done),
        }
    }
}

/// A text that is being computed.
pub(crate) struct Text<'a>(&'a Cores);

impl Drop for Text<'_> {
    fn drop(&mut self) {
        self.0.texts.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::{Cores, PART_MIN, Parallel};
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn texts_share_the_cores() {
        let cores = Cores::one();
        assert_eq!(cores.parts(usize::MAX), 1);
        cores.allow(4);
        assert_eq!(cores.parts(usize::MAX), 4);
        let first = cores.enter();
        assert_eq!(cores.parts(usize::MAX), 4);
        let second = cores.enter();
        assert_eq!(cores.parts(usize::MAX), 2);
        let third = cores.enter();
        assert_eq!(cores.parts(usize::MAX), 1);
        drop((second, third));
        assert_eq!(cores.parts(3 * PART_MIN), 3);
        assert_eq!(cores.parts(PART_MIN), 1);
        drop(first);
    }

    #[test]
    fn a_panic_in_a_part_is_the_callers() {
        let cores = Cores::one();
        cores.allow(2);
        for panicking in 0..4 {
            let computed = catch_unwind(AssertUnwindSafe(|| {
                cores.each(4, &|part| assert!(part != panicking, "as it should"));
            }));
            assert!(computed.is_err());
        }
    }

    #[test]
    fn every_part_is_computed_once() {
        let cores = Cores::one();
        cores.allow(3);
        for count in [0, 1, 3, 10] {
            let calls: Vec<AtomicUsize> = (0..count).map(|_| AtomicUsize::new(0)).collect();
            cores.each(count, &|part| {
                calls[part].fetch_add(1, Ordering::Relaxed);
            });
            assert!(calls.iter().all(|calls| calls.load(Ordering::Relaxed) == 1));
        }
    }
}
