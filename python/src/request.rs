//! What a method computes: items, and options with whatever makes a model give its kind of
//! result.

use crate::errors::{self, Class};
use crate::items;
use encoderfile::{Capability, Encoder, Item, Model, Options, Vectors};
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
            options = giving(model.encoder(), name, options)?;
        }
        model.check(&options).map_err(|it| errors::exception(&it))?;
        Ok(Self { model, options })
    }

    /// The items of `texts`, each in its place.
    pub(crate) fn items(&self, texts: &Bound<'_, PyAny>) -> PyResult<Vec<Item>> {
        items::items(texts)
    }
}

fn giving(encoder: &Encoder, name: &str, options: Options) -> PyResult<Options> {
    let capabilities = encoder.capabilities();
    let Some(capability) = capabilities.iter().find(|it| it.name() == name) else {
        let names: Vec<&str> = capabilities.iter().map(|it| it.name()).collect();
        let task = encoder.task().name();
        let problem = format!(
            "`{name}` is nothing that this model gives: it is for {task}, and gives {}",
            names.join(", ")
        );
        return Err(Class::Request.exception(problem));
    };
    let pools = capabilities.contains(&Capability::Embed);
    let is_hybrid = pools && capabilities.contains(&Capability::Sparse);
    Ok(match capability {
        Capability::TokenEmbeddings if is_hybrid => Options {
            vectors: Some(Vectors::Colbert),
            ..options
        },
        Capability::TokenEmbeddings if pools => Options {
            unpooled: true,
            ..options
        },
        Capability::Sparse if is_hybrid => Options {
            vectors: Some(Vectors::Sparse),
            ..options
        },
        _ => options,
    })
}
