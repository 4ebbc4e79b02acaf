//! The functions of SQL.

use super::arguments::Argument;
use super::models::Models;
use crate::border::Failure;
use encoderfile::{Options, OptionsError, Values};
use rusqlite::functions::{Context, FunctionFlags};
use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, Error};

/// A function of SQL.
struct Function {
    name: &'static str,
    /// What errors call its arguments.
    arguments: &'static [&'static str],
    /// How many of them have to be there.
    required: usize,
    flags: FunctionFlags,
    call: fn(&Models, &Arguments<'_>) -> Result<Value, Failure>,
}

/// Where what computes may be used: in whatever SQL there is, also in a schema that somebody else
/// wrote.
const COMPUTES: FunctionFlags = FunctionFlags::SQLITE_UTF8
    .union(FunctionFlags::SQLITE_DETERMINISTIC)
    .union(FunctionFlags::SQLITE_INNOCUOUS);

/// Where what opens files may be: in statements of the program, never in those of a schema.
const OPENS: FunctionFlags = FunctionFlags::SQLITE_UTF8.union(FunctionFlags::SQLITE_DIRECTONLY);

const FUNCTIONS: [Function; 5] = [
    Function {
        name: "encoderfile_load",
        arguments: &["the name", "the path"],
        required: 2,
        flags: OPENS,
        call: load,
    },
    Function {
        name: "encode",
        arguments: &["the text", "the prompt", "the model"],
        required: 1,
        flags: COMPUTES,
        call: encode,
    },
    Function {
        name: "classify",
        arguments: &["the text", "the model"],
        required: 1,
        flags: COMPUTES,
        call: classify,
    },
    Function {
        name: "encoderfile_infer",
        arguments: &["the request", "the model"],
        required: 1,
        flags: COMPUTES,
        call: infer,
    },
    Function {
        name: "encoderfile_version",
        arguments: &[],
        required: 0,
        flags: COMPUTES,
        call: |_, _| Ok(env!("CARGO_PKG_VERSION").to_owned().into()),
    },
];

/// Adds each, with every number of arguments that it takes.
pub(super) fn register(connection: &Connection, models: &Models) -> Result<(), Error> {
    for function in &FUNCTIONS {
        let counts = (0..).take(function.arguments.len() + 1);
        for count in counts.skip(function.required) {
            let models = models.clone();
            connection.create_scalar_function(
                function.name,
                count,
                function.flags,
                move |context| {
                    let arguments = Arguments { function, context };
                    (function.call)(&models, &arguments).map_err(failed)
                },
            )?;
        }
    }
    Ok(())
}

/// The arguments of a call.
struct Arguments<'a> {
    function: &'static Function,
    context: &'a Context<'a>,
}

impl Arguments<'_> {
    /// An argument; NULL where the call has fewer.
    fn of(&self, index: usize) -> Argument<'_> {
        let names = self.function.arguments;
        Argument {
            function: self.function.name,
            name: names.get(index).copied().unwrap_or_default(),
            value: match index < self.context.len() {
                true => self.context.get_raw(index),
                false => ValueRef::Null,
            },
        }
    }
}

/// An error as a statement gives it.
pub(super) fn failed(failure: Failure) -> Error {
    Error::ModuleError(encoderfile::one_line(&failure))
}

/// A function that the model's task does not have.
pub(super) fn inapplicable(option: &'static str, task: &'static str) -> Failure {
    Failure::Model(OptionsError::Inapplicable { option, task }.into())
}

/// What the file says of its model, as JSON.
fn load(models: &Models, arguments: &Arguments<'_>) -> Result<Value, Failure> {
    let (name, path) = (arguments.of(0).required()?, arguments.of(1).required()?);
    Ok(models.load(name, path)?.info_json()?.into())
}

/// The embedding in float32, little-endian, which is what sqlite-vec takes; NULL of NULL.
fn encode(models: &Models, arguments: &Arguments<'_>) -> Result<Value, Failure> {
    let Some(text) = arguments.of(0).text()? else {
        return Ok(Value::Null);
    };
    let options = Options {
        prompt_name: arguments.of(1).text()?.map(str::to_owned),
        ..Options::default()
    };
    let model = models.get(arguments.of(2).text()?)?;
    match model.infer(text, &options)?.values {
        Values::SentenceEmbedding { embedding } => {
            let bytes = embedding.into_iter().flat_map(f32::to_le_bytes);
            Ok(Value::Blob(bytes.collect()))
        }
        _ => Err(inapplicable("encode", model.info().task)),
    }
}

/// The label with the largest score; NULL of NULL.
fn classify(models: &Models, arguments: &Arguments<'_>) -> Result<Value, Failure> {
    let Some(text) = arguments.of(0).text()? else {
        return Ok(Value::Null);
    };
    let model = models.get(arguments.of(1).text()?)?;
    match model.infer(text, &Options::default())?.values {
        Values::SequenceClassification {
            predicted_label, ..
        } => Ok(predicted_label.into()),
        _ => Err(inapplicable("classify", model.info().task)),
    }
}

/// The answer to a request of `/predict`, as JSON; NULL of NULL.
fn infer(models: &Models, arguments: &Arguments<'_>) -> Result<Value, Failure> {
    let Some(request) = arguments.of(0).text()? else {
        return Ok(Value::Null);
    };
    let model = models.get(arguments.of(1).text()?)?;
    Ok(model.infer_json(request)?.into())
}
