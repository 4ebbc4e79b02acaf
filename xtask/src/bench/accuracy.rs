//! How far the numbers are from those of the reference, and what the embedded
//! default model loses by its smaller weights.

use super::report::{Report, Target, Unit};
use super::subject::Subject;
use crate::infer::{Program, argument, embeddings};
use crate::process;
use crate::similarity::{largest_difference, worst_cosine};
use anyhow::Context;
use serde_json::Value;
use std::fs;

const SKIPPED: &str = "\
Skipped: results against the reference and the default model against float32, because the
model is the default one's own weights, which are int8, made float32 again; `--model` names a
folder with a golden.json.";

/// Cases of the model folder's `golden.json`.
struct Golden {
    texts: Vec<String>,
    embeddings: Vec<Vec<f64>>,
}

/// Of a folder that says what is right: the default model's own weights, made float32
/// again, would be compared with themselves.
pub(super) fn measure(subject: &Subject, report: &mut Report) -> anyhow::Result<()> {
    let Some(golden) = golden(subject)? else {
        report.note(SKIPPED.into());
        return Ok(());
    };
    let texts: Vec<&str> = golden.texts.iter().map(String::as_str).collect();
    let (_, native) = subject.native().embed(&texts)?;
    let (_, wasm) = subject.wasm(&[]).embed(&texts)?;
    let rows = [
        (
            "native against the reference",
            largest_difference(&native, &golden.embeddings),
        ),
        (
            "wasm against the reference",
            largest_difference(&wasm, &golden.embeddings),
        ),
        ("native against wasm", largest_difference(&native, &wasm)),
    ];
    for (what, difference) in rows {
        report.alone(what, Unit::Difference, Target::AtMost(1e-5), difference);
    }
    let cosine = default_model_cosine(subject)?;
    let what = "default model, worst cosine";
    report.alone(what, Unit::Cosine, Target::AtLeast(0.9993), cosine);
    Ok(())
}

/// The default model against the float32 one, over the passages.
fn default_model_cosine(subject: &Subject) -> anyhow::Result<f64> {
    let default = subject.folder.join("default.encoderfile");
    subject.dist.build_model(None, None, &[], &default)?;
    let passages = argument(&subject.inputs.passages)?;
    let infer = ["infer", "--input", passages];
    let exact = process::capture(&mut subject.native().command(&infer))?;
    let small = process::capture(&mut Program::Native(default).command(&infer))?;
    Ok(worst_cosine(&embeddings(&exact)?, &embeddings(&small)?))
}

fn golden(subject: &Subject) -> anyhow::Result<Option<Golden>> {
    let path = subject.inputs.model.join("golden.json");
    if !path.exists() {
        return Ok(None);
    }
    let json = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let json: Value = serde_json::from_str(&json).with_context(|| path.display().to_string())?;
    let cases = json.get("cases").and_then(Value::as_array);
    let cases = cases.with_context(|| format!("{}: no `cases`", path.display()))?;
    let text = |case: &Value| Some(case.get("text")?.as_str()?.to_owned());
    let embedding = |case: &Value| {
        let values = case.get("embedding")?.as_array()?;
        values
            .iter()
            .map(Value::as_f64)
            .collect::<Option<Vec<f64>>>()
    };
    let read = || {
        Some(Golden {
            texts: cases.iter().map(text).collect::<Option<_>>()?,
            embeddings: cases.iter().map(embedding).collect::<Option<_>>()?,
        })
    };
    let golden = read()
        .with_context(|| format!("{}: a case without `text` or `embedding`", path.display()))?;
    Ok(Some(golden))
}
