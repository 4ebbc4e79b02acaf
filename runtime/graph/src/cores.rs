//! Several cores on one text, while fewer texts than cores are being computed.
//!
//! **Invariant:** how many there are changes no result: what is split are rows,
//! heads and the like, each of which is computed as it would be alone.

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

    /// In how many parts a product of these dimensions is computed best.
    pub(crate) fn parts<const COUNT: usize>(&self, dimensions: [usize; COUNT]) -> usize {
        // Long texts have more multiplications than 32 bits count.
        let multiplications = dimensions.into_iter().fold(1, usize::saturating_mul);
        let total = self.total.load(Ordering::Relaxed);
        let texts = self.texts.load(Ordering::Relaxed).max(1);
        (total / texts).min(multiplications / PART_MIN).max(1)
    }

    /// Computes each of some parts, on a thread of its own where that is possible.
    pub(crate) fn each<T: Send>(
        &self,
        parts: impl ExactSizeIterator<Item = T>,
        compute: impl Fn(T) + Sync,
    ) {
        if parts.len() > 1 {
            return self.each_at_once(parts, compute);
        }
        parts.for_each(compute);
    }

    #[cfg(not(target_family = "wasm"))]
    fn each_at_once<T: Send>(&self, parts: impl Iterator<Item = T>, compute: impl Fn(T) + Sync) {
        let threads = self.total.load(Ordering::Relaxed);
        let pool = self.pool.get_or_init(|| {
            let builder = rayon::ThreadPoolBuilder::new().num_threads(threads);
            builder.build().ok()
        });
        let Some(pool) = pool else {
            // No threads are to be had, which is a matter of speed alone.
            return parts.for_each(compute);
        };
        let compute = &compute;
        let parts: Vec<T> = parts.collect();
        pool.in_place_scope(|scope| {
            let mut parts = parts.into_iter();
            let own = parts.next();
            for part in parts {
                scope.spawn(move |_| compute(part));
            }
            own.into_iter().for_each(compute);
        });
    }

    #[cfg(target_family = "wasm")]
    fn each_at_once<T: Send>(&self, parts: impl Iterator<Item = T>, compute: impl Fn(T) + Sync) {
        parts.for_each(compute);
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
    use super::{Cores, PART_MIN};
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn texts_share_the_cores() {
        let cores = Cores::one();
        assert_eq!(cores.parts([usize::MAX]), 1);
        cores.allow(4);
        assert_eq!(cores.parts([usize::MAX, usize::MAX]), 4);
        let first = cores.enter();
        assert_eq!(cores.parts([usize::MAX]), 4);
        let others = [cores.enter(), cores.enter()];
        assert_eq!(cores.parts([usize::MAX]), 1);
        drop(others);
        assert_eq!(cores.parts([3 * PART_MIN]), 3);
        assert_eq!(cores.parts([PART_MIN]), 1);

        drop(first);
    }

    #[test]
    fn every_part_is_computed_once() {
        let cores = Cores::one();
        cores.allow(3);
        let mut values = [0; 10];
        let count = AtomicUsize::new(0);
        for chunk in [1, 3, 4, 10] {
            cores.each(values.chunks_mut(chunk), |part| {
                count.fetch_add(1, Ordering::Relaxed);
                part.iter_mut().for_each(|value| *value += 1);
            });
        }
        assert_eq!(values, [4; 10]);
        assert_eq!(count.into_inner(), 10 + 4 + 3 + 1);
    }
}
