//! What Python gives to compute results for.

use crate::errors::{self, Class};
use encoderfile::{Item, Options};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes, PyDict, PyString};

/// Each of the items that Python iterates over: a `str`, two of them, a mapping with `text` and
/// perhaps `text_pair`, or token ids.
pub(crate) fn items(texts: &Bound<'_, PyAny>) -> PyResult<Vec<Item>> {
    if texts.is_instance_of::<PyString>() {
        let problem = "one text, where a list of texts is expected";
        return Err(PyTypeError::new_err(problem));
    }
    let mut items = Vec::new();
    for (index, item) in texts.try_iter()?.enumerate() {
        items.push(read(&item?).map_err(|problem| problem.exception(Some(index)))?);
    }
    Ok(items)
}

/// One item.
pub(crate) fn item(text: &Bound<'_, PyAny>) -> PyResult<Item> {
    read(text).map_err(|problem| problem.exception(None))
}

/// The options, by the names that they have in JSON.
pub(crate) fn options(options: &Bound<'_, PyDict>) -> PyResult<Options> {
    // Through JSON, which does not take every object for a boolean.
    let options = pythonize::depythonize(options.as_any())
        .map_err(|error| Class::Request.exception(format!("options: {error}")))?;
    Options::from_fields(options).map_err(|error| errors::exception(&error.into()))
}

/// What is wrong with an item.
enum Problem {
    /// It is none.
    Type(String),
    /// A text that is no Unicode: the place of half a surrogate pair, in code points.
    Surrogate { code_point: u32, position: usize },
    /// Python's own, of an object that cannot be read.
    Python(PyErr),
}

impl Problem {
    fn exception(self, index: Option<usize>) -> PyErr {
        let place = index.map_or_else(String::new, |index| format!("texts[{index}]: "));
        match self {
            Self::Type(name) => PyTypeError::new_err(format!(
                "{place}a text, a pair of texts or token ids, not {name}"
            )),
            Self::Surrogate {
                code_point,
                position,
            } => Class::Request.exception(format!(
                "{place}no Unicode text: a lone surrogate, U+{code_point:04X}, at character \
                 {position} (`text.encode('utf-16', 'surrogatepass').decode('utf-16', 'replace')` \
                 replaces such)"
            )),
            Self::Python(error) => error,
        }
    }
}

impl From<PyErr> for Problem {
    fn from(error: PyErr) -> Self {
        Self::Python(error)
    }
}

fn read(item: &Bound<'_, PyAny>) -> Result<Item, Problem> {
    if let Ok(string) = item.cast::<PyString>() {
        return Ok(Item::Text(text(string)?));
    }
    if let Ok(mapping) = item.cast::<PyDict>() {
        return of_mapping(mapping);
    }
    if let Ok((first, second)) = two(item) {
        return Ok(Item::Pair(text(&first)?, text(&second)?));
    }
    // Bytes are numbers too.
    let ids = (!item.is_instance_of::<PyBytes>() && !item.is_instance_of::<PyByteArray>())
        .then(|| item.extract::<Vec<u32>>());
    match ids {
        Some(Ok(ids)) => Ok(Item::Ids(ids)),
        _ => Err(not_an_item(item)),
    }
}

/// Both texts of a tuple, a list or any other sequence of two.
fn two<'py>(item: &Bound<'py, PyAny>) -> PyResult<(Bound<'py, PyString>, Bound<'py, PyString>)> {
    let [first, second]: [Bound<'py, PyString>; 2] = item.extract()?;
    Ok((first, second))
}

fn of_mapping(mapping: &Bound<'_, PyDict>) -> Result<Item, Problem> {
    let member = |name: &str| -> Result<Option<String>, Problem> {
        match mapping.get_item(name)? {
            Some(value) if !value.is_none() => {
                let value = value.cast_into::<PyString>();
                let value = value.map_err(|_| not_an_item(mapping.as_any()))?;
                text(&value).map(Some)
            }
            _ => Ok(None),
        }
    };
    match (member("text")?, member("text_pair")?) {
        (Some(first), Some(second)) => Ok(Item::Pair(first, second)),
        (Some(only), None) => Ok(Item::Text(only)),
        (None, _) => Err(Problem::Type("a dict without `text`".to_owned())),
    }
}

fn not_an_item(item: &Bound<'_, PyAny>) -> Problem {
    match item.get_type().name() {
        Ok(name) => Problem::Type(name.to_string()),
        Err(error) => Problem::Python(error),
    }
}

fn text(text: &Bound<'_, PyString>) -> Result<String, Problem> {
    if let Ok(text) = text.to_cow() {
        return Ok(text.into_owned());
    }
    // Only what is wrong with it is looked for: this is no text.
    for (position, character) in text.as_any().try_iter()?.enumerate() {
        let character = character?;
        if character
            .cast::<PyString>()
            .is_ok_and(|it| it.to_cow().is_err())
        {
            let code_point = character
                .py()
                .import("builtins")?
                .call_method1("ord", (character,))?;
            return Err(Problem::Surrogate {
                code_point: code_point.extract()?,
                position,
            });
        }
    }
    Err(not_an_item(text.as_any()))
}
