//! Embeddings as arrays of NumPy: computed into the memory that the array then has.

use crate::errors::Class;
use encoderfile::output::TokenVector;
use encoderfile::{Capability, Values};
use numpy::{PyArray1, PyArray2, PyArrayMethods};
use pyo3::exceptions::PyMemoryError;
use pyo3::prelude::*;
use pyo3::types::PyList;

/// The embeddings of texts, as they are computed.
pub(crate) enum Vectors {
    /// None yet of a kind that is one for each text.
    Empty,
    /// One for each text: `[texts, width]`.
    Dense { values: Vec<f32>, width: usize },
    /// One for each token, of each text: `[tokens, width]`.
    Tokens(Vec<Tokens>),
}

/// The embeddings of a text's tokens: `[tokens, width]`.
pub(crate) struct Tokens {
    values: Vec<f32>,
    width: usize,
}

impl Tokens {
    fn of(vectors: &[TokenVector]) -> Self {
        let width = vectors.first().map_or(0, |it| it.embedding.len());
        let mut values = Vec::with_capacity(vectors.len() * width);
        for vector in vectors {
            values.extend_from_slice(&vector.embedding);
        }
        Self { values, width }
    }
}

impl Vectors {
    /// None yet, of [`Capability::name`].
    pub(crate) fn of(capability: &str) -> Self {
        match capability == Capability::TokenEmbeddings.name() {
            true => Self::Tokens(Vec::new()),
            false => Self::Empty,
        }
    }

    /// Takes the next of `total` texts' result.
    ///
    /// # Errors
    /// Where it has no embedding.
    pub(crate) fn push(&mut self, result: Values, total: usize) -> PyResult<()> {
        match (&mut *self, result) {
            (Self::Empty, Values::SentenceEmbedding { embedding }) => {
                let width = embedding.len();
                let mut values = Vec::new();
                let needed = total.saturating_mul(width);
                values.try_reserve_exact(needed).map_err(|_| {
                    PyMemoryError::new_err(format!("{total} embeddings of {width} values"))
                })?;
                values.extend_from_slice(&embedding);
                *self = Self::Dense { values, width };
            }
            (Self::Dense { values, width }, Values::SentenceEmbedding { embedding })
                if embedding.len() == *width =>
            {
                values.extend_from_slice(&embedding);
            }
            (Self::Tokens(texts), Values::Embedding { embeddings }) => {
                texts.push(Tokens::of(&embeddings));
            }
            _ => {
                let problem = "the results are no embeddings of one kind: `infer` gives them all";
                return Err(Class::Request.exception(problem.to_owned()));
            }
        }
        Ok(())
    }

    /// An array of all texts, or a list with an array of each.
    pub(crate) fn into_python(self, py: Python<'_>, width: usize) -> PyResult<Bound<'_, PyAny>> {
        match self {
            Self::Empty => array(py, Vec::new(), width),
            Self::Dense { values, width } => array(py, values, width),
            Self::Tokens(texts) => {
                let arrays = texts.into_iter().map(|it| array(py, it.values, it.width));
                let arrays = arrays.collect::<PyResult<Vec<_>>>()?;
                Ok(PyList::new(py, arrays)?.into_any())
            }
        }
    }
}

/// The array of a text alone: `[width]`, or `[tokens, width]`.
pub(crate) fn one(py: Python<'_>, values: Values) -> PyResult<Bound<'_, PyAny>> {
    if let Values::SentenceEmbedding { embedding } = values {
        return Ok(PyArray1::from_vec(py, embedding).into_any());
    }
    let mut vectors = Vectors::Tokens(Vec::new());
    vectors.push(values, 1)?;
    vectors.into_python(py, 0)?.get_item(0)
}

/// `[values / width, width]`, in that memory.
fn array(py: Python<'_>, values: Vec<f32>, width: usize) -> PyResult<Bound<'_, PyAny>> {
    let rows = values.len().checked_div(width).unwrap_or(0);
    let array: Bound<'_, PyArray2<f32>> = PyArray1::from_vec(py, values).reshape([rows, width])?;
    Ok(array.into_any())
}
