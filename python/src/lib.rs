//! The runtime for Python: what the wheel's module is.

use pyo3::prelude::*;

#[pymodule]
mod _encoderfile {
    #[pymodule_export]
    const VERSION: &str = env!("CARGO_PKG_VERSION");
}
