//! Comparing vectors.

/// The cosine of the angle between two vectors of equal length.
pub(crate) fn cosine(a: &[f64], b: &[f64]) -> f64 {
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

/// The largest absolute difference between numbers at the same place.
pub(crate) fn largest_difference(a: &[Vec<f64>], b: &[Vec<f64>]) -> f64 {
    let pairs = a.iter().flatten().zip(b.iter().flatten());
    pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
}

/// The smallest cosine between vectors at the same place.
pub(crate) fn worst_cosine(a: &[Vec<f64>], b: &[Vec<f64>]) -> f64 {
    cosines(a, b).fold(1.0, f64::min)
}

/// The mean of all cosines between vectors at the same place.
pub(crate) fn mean_cosine(a: &[Vec<f64>], b: &[Vec<f64>]) -> f64 {
    cosines(a, b).sum::<f64>() / a.len() as f64
}

fn cosines(a: &[Vec<f64>], b: &[Vec<f64>]) -> impl Iterator<Item = f64> {
    a.iter().zip(b).map(|(a, b)| cosine(a, b))
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use super::{cosine, largest_difference, mean_cosine, worst_cosine};

    #[test]
    fn cosines() {
        assert!((cosine(&[1.0, 0.0], &[5.0, 0.0]) - 1.0).abs() < 1e-12);
        assert!(cosine(&[1.0, 0.0], &[0.0, 2.0]).abs() < 1e-12);
        let (a, b) = (vec![vec![1.0, 0.0]], vec![vec![-1.0, 0.0]]);
        assert!((worst_cosine(&a, &b) + 1.0).abs() < 1e-12);
        let (a, b) = ([a, b.clone()].concat(), [b.clone(), b].concat());
        assert!(mean_cosine(&a, &b).abs() < 1e-12);
    }

    #[test]
    fn the_largest_difference_is_over_all_vectors() {
        let (a, b) = ([vec![1.0], vec![2.0]], [vec![1.5], vec![-1.0]]);
        assert!((largest_difference(&a, &b) - 3.0).abs() < 1e-12);
    }
}
