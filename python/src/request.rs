//! What a method computes: items, and options with whatever makes a model give its kind of
//! result.

use crate::errors::{self, Class};
use crate::items;
use encoderfile::{Capability, Item, Model, Options};
use pyo3::prelude::*;
use pyo3::types::PyDict;

/// What is to be computed, checked but for its texts.
pub(crate) struct Request {
    pub(crate) model: Model,
    pub(crate) options: Options,
}

impl Request {
    /// What has the kind of result of that name, of [`Capability::name`]; whatever the model
    /// gives without one.
    pub(crate) fn new(
        model: Model,
        capability: Option<&str>,
        options: &Bound<'_, PyDict>,
    ) -> PyResult<Self> {
        let mut options = items::options(options)?;
        if let Some(name) = capability {
            let kind = Capability::named(name);
            let kind =
                kind.ok_or_else(|| Class::Internal.exception(format!("no kind `{name}`")))?;
            let asked = model.encoder().asked_for(kind, options);
            options = asked.map_err(|it| errors::exception(&it))?;
        }
        model.check(&options).map_err(|it| errors::exception(&it))?;
        Ok(Self { model, options })
    }

    /// The items of `texts`, each in its place.
    pub(crate) fn items(&self, texts: &Bound<'_, PyAny>) -> PyResult<Vec<Item>> {
        items::items(texts)
    }
}
