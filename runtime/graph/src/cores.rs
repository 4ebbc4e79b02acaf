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

    /// Calls `work` on this thread, and at the same time on others, `threads` in all.
    #[cfg(not(target_family = "wasm"))]
    fn at_once(&self, threads: usize, work: &(dyn Fn() + Sync)) {
        let Some(pool) = self.pool() else {
            return work();
        };
        pool.in_place_scope(|scope| {
            for _ in 1..threads {
                scope.spawn(|_| work());
            }
            work();
        });
    }

    #[cfg(target_family = "wasm")]
    fn at_once(&self, _threads: usize, work: &(dyn Fn() + Sync)) {
        work();
    }
}

impl Parallel for Cores {
    fn parts(&self, multiplications: usize) -> usize {
        self.of_a_text().min(multiplications / PART_MIN).max(1)
    }

    fn each(&self, count: usize, compute: &(dyn Fn(usize) + Sync)) {
        let next = AtomicUsize::new(0);
        // Whoever is done with a part takes the next.
        let work = || {
            let parts = std::iter::repeat_with(|| next.fetch_add(1, Ordering::Relaxed));
            parts.take_while(|part| *part < count).for_each(compute);
        };
        match self.of_a_text().min(count) {
            0 | 1 => work(),
            threads => self.at_once(threads, &work),
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
