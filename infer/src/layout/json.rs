//! JSON: a document of all results, or one a line.

use super::{Layout, Output};
use crate::rows::Id;
use encoderfile::precision::Quantized;
use encoderfile::{TokenUsage, Values};
use serde::Serialize;
use std::io::{self, Write};

/// `{"results": […], "model_id": …}`.
pub(crate) struct Document {
    tail: Vec<u8>,
}

impl Document {
    pub(crate) fn new(model_id: &str) -> Self {
        let id = serde_json::Value::from(model_id);
        Self {
            tail: format!("\n],\"model_id\":{id}}}\n").into_bytes(),
        }
    }
}

/// Adds whatever it is, of that index, to a document.
pub(crate) fn add(result: &impl Serialize, index: u64, part: &mut Vec<u8>) -> io::Result<()> {
    if index > 0 {
        part.write_all(b",\n")?;
    }
    Ok(serde_json::to_writer(part, result)?)
}

/// Adds a line.
pub(crate) fn add_line(result: &impl Serialize, part: &mut Vec<u8>) -> io::Result<()> {
    serde_json::to_writer(&mut *part, result)?;
    part.write_all(b"\n")
}

impl Layout for Document {
    fn write(&mut self, output: &Output<'_>, index: u64, part: &mut Vec<u8>) -> anyhow::Result<()> {
        Ok(add(&Result::of(output), index, part)?)
    }

    fn head(&self, _rows: u64) -> Vec<u8> {
        b"{\"results\":[\n".to_vec()
    }

    fn tail(&self) -> Vec<u8> {
        self.tail.clone()
    }
}

/// One result a line.
pub(crate) struct Lines;

impl Layout for Lines {
    fn write(&mut self, output: &Output<'_>, _: u64, part: &mut Vec<u8>) -> anyhow::Result<()> {
        Ok(add_line(&Result::of(output), part)?)
    }
}

/// A result as all frontends write it, with the id before it.
#[derive(Serialize)]
struct Result<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a Id>,
    #[serde(flatten)]
    values: Computed<'a>,
    #[serde(flatten)]
    usage: Option<TokenUsage>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Computed<'a> {
    Values(&'a Values),
    Vector {
        embedding: &'a Quantized<'a>,
        #[serde(skip_serializing_if = "Option::is_none")]
        scale: Option<f32>,
    },
}

impl<'a> Result<'a> {
    fn of(output: &'a Output<'_>) -> Self {
        let values = match &output.vector {
            None => Computed::Values(&output.prediction.values),
            Some(vector) => Computed::Vector {
                embedding: vector,
                scale: vector.scale(),
            },
        };
        Self {
            id: output.id,
            values,
            usage: output.prediction.usage,
        }
    }
}
