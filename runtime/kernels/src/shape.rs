//! Operands that do not fit together.

/// Slices, strides or lengths that do not fit together. Kernels check them before
/// they compute anything.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{kernel}: {problem}")]
pub struct ShapeError {
    kernel: &'static str,
    problem: String,
}

/// Refuses what does not fit.
pub(crate) fn ensure(
    fits: bool,
    kernel: &'static str,
    problem: impl FnOnce() -> String,
) -> Result<(), ShapeError> {
    if fits {
        return Ok(());
    }
    Err(ShapeError {
        kernel,
        problem: problem(),
    })
}
