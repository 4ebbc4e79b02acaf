//! The runtime for Python: what the wheel's module is. What people use is the package around it,
//! `encoderfile`, which says what each method gives.

mod errors;
mod items;
mod model;
mod request;
mod vectors;
mod watch;

use pyo3::prelude::*;

#[pymodule]
mod _encoderfile {
    #[pymodule_export]
    use crate::model::Model;

    #[pymodule_export]
    const VERSION: &str = env!("CARGO_PKG_VERSION");
}
