//! What Python is asked while texts are computed: whether there was a signal, such as of Ctrl-C,
//! and to show how far it is.

use pyo3::prelude::*;
use std::time::{Duration, Instant};

/// How often.
const PERIOD: Duration = Duration::from_millis(100);

/// Asks now and then, from a thread that is not attached to the interpreter.
pub(crate) struct Watch {
    last: Instant,
    /// Called with the number of results so far.
    progress: Option<Py<PyAny>>,
}

impl Watch {
    pub(crate) fn new(progress: Option<Py<PyAny>>) -> Self {
        Self {
            last: Instant::now(),
            progress,
        }
    }

    /// After each result.
    ///
    /// # Errors
    /// What a signal's handler raises, or the callback.
    pub(crate) fn tick(&mut self, done: usize) -> PyResult<()> {
        if self.last.elapsed() < PERIOD {
            return Ok(());
        }
        self.last = Instant::now();
        self.ask(done)
    }

    /// After the last.
    ///
    /// # Errors
    /// As [`Watch::tick`].
    pub(crate) fn ask(&self, done: usize) -> PyResult<()> {
        Python::attach(|py| {
            py.check_signals()?;
            match &self.progress {
                Some(progress) => progress.call1(py, (done,)).map(|_| ()),
                None => Ok(()),
            }
        })
    }
}
