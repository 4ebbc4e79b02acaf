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

    #[cfg(not(target_family = "wasm"))]
    fn each_at_once(&self, count: usize, compute: &(dyn Fn(usize) + Sync)) {
        let threads = self.total.load(Ordering::Relaxed);
        let pool = self.pool.get_or_init(|| {
            let builder = rayon::ThreadPoolBuilder::new().num_threads(threads);
            builder.build().ok()
        });
        let Some(pool) = pool else {
            // No threads are to be had, which is a matter of speed alone.
            return (0..count).for_each(compute);
        };
        pool.in_place_scope(|scope| {
            for part in 1..count {
                scope.spawn(move |_| compute(part));
            }
            compute(0);
        });
    }

    #[cfg(target_family = "wasm")]
    fn each_at_once(&self, count: usize, compute: &(dyn Fn(usize) + Sync)) {
        (0..count).for_each(compute);
    }
}

impl Parallel for Cores {
    fn parts(&self, multiplications: usize) -> usize {
        let total = self.total.load(Ordering::Relaxed);
        let texts = self.texts.load(Ordering::Relaxed).max(1);
        (total / texts).min(multiplications / PART_MIN).max(1)
    }

    fn each(&self, count: usize, compute: &(dyn Fn(usize) + Sync)) {
        if count > 1 {
            return self.each_at_once(count, compute);
        }
        (0..count).for_each(compute);
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
        let others = [cores.enter(), cores.enter()];
        assert_eq!(cores.parts(usize::MAX), 1);
        drop(others);
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
