//! A model, as the package holds it: plain values and arrays in and out.

use crate::errors::{self, Class};
use crate::items;
use crate::request::Request;
use crate::vectors::{self, Vectors};
use crate::watch::Watch;
use encoderfile::container::ArtifactKind;
use encoderfile::{Error, Executor, Item, Payload, Prediction, Source};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use pythonize::pythonize;
use serde::Serialize;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process;
use std::sync::{Arc, Mutex, PoisonError};

/// A model that was opened. All that takes long lets go of the interpreter.
#[pyclass(frozen, module = "encoderfile._encoderfile")]
pub(crate) struct Model {
    source: Arc<dyn Source>,
    executor: Executor,
    /// Locked by threads that are attached to the interpreter, and never while Python runs, which
    /// could let another thread go on: a process forks while it is free.
    opened: Mutex<Option<Opened>>,
}

/// A model, and the process whose threads it has.
struct Opened {
    process: u32,
    model: encoderfile::Model,
}

#[pymethods]
impl Model {
    /// Opens a file.
    #[staticmethod]
    fn open(py: Python<'_>, path: PathBuf, threads: Option<NonZeroUsize>) -> PyResult<Self> {
        let source = encoderfile::file::open(&path);
        let model = source
            .map_err(Error::from)
            .and_then(|source| Self::of(py, source, threads));
        model.map_err(|error| errors::exception(&error.in_file(path.display())))
    }

    /// Opens the default model that a tool carries.
    #[staticmethod]
    fn open_carried(
        py: Python<'_>,
        tool: PathBuf,
        threads: Option<NonZeroUsize>,
    ) -> PyResult<Self> {
        let carried = || {
            let payload = Payload::open(encoderfile::file::open(&tool)?)?;
            Ok(payload.artifact(ArtifactKind::DefaultModel)?)
        };
        let model = carried().and_then(|carried| Self::of(py, Arc::new(carried), threads));
        model.map_err(|error: Error| errors::exception(&error.in_file(tool.display())))
    }

    /// Takes what is in memory.
    #[staticmethod]
    fn from_bytes(py: Python<'_>, data: Vec<u8>, threads: Option<NonZeroUsize>) -> PyResult<Self> {
        let model = Self::of(py, Arc::new(data), threads);
        model.map_err(|error| errors::exception(&error))
    }

    /// Lets go of it. What is being computed is computed to its end.
    fn close(&self) {
        let opened = self.lock().take();
        if let Some(opened) = opened {
            opened.close();
        }
    }

    #[getter]
    fn closed(&self) -> bool {
        self.lock().is_none()
    }

    /// What the file says of its model.
    fn info<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        to_python(py, self.model(py)?.info())
    }

    /// The values of an embedding, unless options say otherwise; `None` for a model that gives no
    /// one vector a text.
    fn dimensions(&self, py: Python<'_>) -> PyResult<Option<usize>> {
        Ok(self.model(py)?.dimensions())
    }

    /// What it can be asked for.
    fn capabilities(&self, py: Python<'_>) -> PyResult<Vec<&'static str>> {
        let capabilities = self.model(py)?.encoder().capabilities();
        Ok(capabilities.iter().map(|it| it.name()).collect())
    }

    /// The array of a text: `[width]`, or `[tokens, width]`.
    fn encode_one<'py>(
        &self,
        text: &Bound<'py, PyAny>,
        capability: &str,
        options: &Bound<'py, PyDict>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let prediction = self.predict(text, Some(capability), options)?;
        vectors::one(text.py(), prediction.values)
    }

    /// The array of texts: `[texts, width]`, or a list with `[tokens, width]` of each.
    fn encode<'py>(
        &self,
        texts: &Bound<'py, PyAny>,
        capability: &str,
        options: &Bound<'py, PyDict>,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = texts.py();
        let request = Request::new(self.model(py)?, Some(capability), options)?;
        let items = request.items(texts)?;
        let total = items.len();
        let mut vectors = Vectors::of(capability);
        py.detach(|| {
            each(&request, items, progress, |index, result| {
                let prediction = result.map_err(|it| errors::exception_of(&it, index))?;
                vectors.push(prediction.values, total)
            })
        })?;
        let dimensions = request.options.dimensions;
        let width = dimensions.or_else(|| request.model.dimensions());
        vectors.into_python(py, width.unwrap_or(0))
    }

    /// The result of a text, in the shape of JSON.
    fn infer_one<'py>(
        &self,
        text: &Bound<'py, PyAny>,
        capability: Option<&str>,
        options: &Bound<'py, PyDict>,
    ) -> PyResult<Bound<'py, PyAny>> {
        to_python(text.py(), &self.predict(text, capability, options)?)
    }

    /// The result of each text, in the shape of JSON; an exception for one that fails, where
    /// `partial` says so.
    fn infer<'py>(
        &self,
        texts: &Bound<'py, PyAny>,
        capability: Option<&str>,
        options: &Bound<'py, PyDict>,
        partial: bool,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<Vec<Bound<'py, PyAny>>> {
        let py = texts.py();
        let request = Request::new(self.model(py)?, capability, options)?;
        let items = request.items(texts)?;
        let mut results = Vec::with_capacity(items.len());
        py.detach(|| {
            each(&request, items, progress, |index, result| {
                let result = result.map_err(|error| errors::exception_of(&error, index));
                results.push(if partial { result } else { Ok(result?) });
                Ok(())
            })
        })?;
        let results = results.into_iter().map(|result| match result {
            Ok(prediction) => to_python(py, &prediction),
            Err(error) => Ok(error.into_value(py).into_bound(py).into_any()),
        });
        results.collect()
    }

    /// Texts as answers to the query that the options have, best first.
    fn rank<'py>(
        &self,
        texts: &Bound<'py, PyAny>,
        options: &Bound<'py, PyDict>,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = texts.py();
        let request = Request::new(self.model(py)?, Some("rerank"), options)?;
        let items = request.items(texts)?;
        let mut predictions = Vec::with_capacity(items.len());
        py.detach(|| {
            each(&request, items, progress, |index, result| {
                predictions.push(result.map_err(|it| errors::exception_of(&it, index))?);
                Ok(())
            })
        })?;
        let ranked = encoderfile::output::rank(&predictions, request.options.top_k);
        to_python(py, &ranked)
    }

    /// The tokens of a text.
    fn tokenize<'py>(
        &self,
        text: &Bound<'py, PyAny>,
        options: &Bound<'py, PyDict>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = text.py();
        let (model, item) = (self.model(py)?, items::item(text)?);
        let options = items::options(options)?;
        let tokens = py.detach(|| model.tokenize(item, &options));
        to_python(py, &tokens.map_err(|error| errors::exception(&error))?)
    }

    /// How far the results that are stored in the file are from those here.
    fn self_test<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let model = self.model(py)?;
        let report = py.detach(|| model.self_test());
        let report = report.map_err(|error| errors::exception(&error))?;
        let python = to_python(py, &report)?;
        python.set_item("passed", report.passed())?;
        Ok(python)
    }
}

impl Model {
    fn of(
        py: Python<'_>,
        source: Arc<dyn Source>,
        threads: Option<NonZeroUsize>,
    ) -> Result<Self, Error> {
        let executor = threads.map_or(Executor::AllCores, Executor::Threads);
        let opened = py.detach(|| Opened::of(source.clone(), executor))?;
        Ok(Self {
            source,
            executor,
            opened: Mutex::new(Some(opened)),
        })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Opened>> {
        self.opened.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn model(&self, _attached: Python<'_>) -> PyResult<encoderfile::Model> {
        match self.of_this_process() {
            Ok(Some(model)) => Ok(model),
            Ok(None) => Err(Class::Closed.exception("the model is closed".to_owned())),
            Err(error) => Err(errors::exception(&error)),
        }
    }

    /// The model, unless it is closed. In a child of a fork, which has no threads of its parent's,
    /// it is opened anew, over the same bytes.
    fn of_this_process(&self) -> Result<Option<encoderfile::Model>, Error> {
        let mut opened = self.lock();
        let Some(of_some_process) = &mut *opened else {
            return Ok(None);
        };
        if of_some_process.process != process::id() {
            let of_this = Opened::of(self.source.clone(), self.executor)?;
            std::mem::replace(of_some_process, of_this).close();
        }
        Ok(Some(of_some_process.model.clone()))
    }

    fn predict(
        &self,
        text: &Bound<'_, PyAny>,
        capability: Option<&str>,
        options: &Bound<'_, PyDict>,
    ) -> PyResult<Prediction> {
        let py = text.py();
        let Request { model, options } = Request::new(self.model(py)?, capability, options)?;
        let item = items::item(text)?;
        let prediction = py.detach(|| model.infer(item, &options));
        prediction.map_err(|error| errors::exception(&error))
    }
}

impl Opened {
    fn of(source: Arc<dyn Source>, executor: Executor) -> Result<Self, Error> {
        Ok(Self {
            process: process::id(),
            model: encoderfile::Model::from_source(source, executor)?,
        })
    }

    /// What a fork left behind is not touched: others may have held its locks.
    fn close(self) {
        if self.process != process::id() {
            std::mem::forget(self.model);
        }
    }
}

/// Computes all of them, off the interpreter.
fn each(
    request: &Request,
    items: Vec<Item>,
    progress: Option<Py<PyAny>>,
    mut take: impl FnMut(usize, Result<Prediction, Error>) -> PyResult<()>,
) -> PyResult<()> {
    let total = items.len();
    let mut watch = Watch::new(progress);
    let Request { model, options } = request;
    model.infer_each(items.into_iter().map(Ok), options, |index, result| {
        take(index, result)?;
        watch.tick(index + 1)
    })?;
    watch.ask(total)
}

fn to_python<'py>(py: Python<'py>, value: &impl Serialize) -> PyResult<Bound<'py, PyAny>> {
    Ok(pythonize(py, value)?)
}
