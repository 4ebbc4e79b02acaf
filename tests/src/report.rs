//! What the conformance suite saw: a row for each model and target.

use crate::compare::Agreement;
use crate::target::Target;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

/// One model on one target.
#[derive(Clone, Debug)]
pub struct Line {
    /// The model's name.
    pub model: String,
    /// `bert`, `roberta`, …
    pub architecture: String,
    /// `embedding`, …
    pub task: String,
    /// What the file was built of: `ONNX` or `PyTorch`.
    pub weights: &'static str,
    /// The target's name.
    pub target: &'static str,
    /// How many texts were compared.
    pub texts: usize,
    /// In what sense it agrees with the reference.
    pub agreement: Agreement,
    /// The largest difference to the reference in that sense.
    pub reference: f64,
    /// The largest absolute difference to the native result; absent for that itself.
    pub native: Option<f64>,
    /// Of all its runs.
    pub time: Duration,
}

/// The lines as a table for people.
pub fn table(lines: &[Line]) -> String {
    let mut table = format!(
        "{:<32} {:<16} {:>5} {:>12} {:>12} {:>8}\n",
        "model", "target", "texts", "to reference", "to native", "seconds"
    );
    for line in lines {
        let native = line.native.map_or("-".into(), |it| format!("{it:.1e}"));
        let note = match line.agreement {
            Agreement::Within(_) => "",
            Agreement::Cosine(_) => "  (1 - cosine)",
        };
        table += &format!(
            "{:<32} {:<16} {:>5} {:>12} {native:>12} {:>8.2}{note}\n",
            line.model,
            line.target,
            line.texts,
            format!("{:.1e}", line.reference),
            line.time.as_secs_f64(),
        );
    }
    table
}

/// The largest differences of each target.
pub fn summary(lines: &[Line]) -> String {
    let mut targets: Vec<&str> = lines.iter().map(|line| line.target).collect();
    targets.sort_unstable();
    targets.dedup();
    let mut summary = String::new();
    for target in targets {
        let of_target = || lines.iter().filter(|line| line.target == target);
        let exact = of_target().filter(|it| matches!(it.agreement, Agreement::Within(_)));
        let reference = exact.map(|it| it.reference).fold(0.0, f64::max);
        let native = of_target().filter_map(|it| it.native).fold(0.0, f64::max);
        summary += &format!(
            "{target}: {} models; largest difference to the reference {reference:.1e}, to native {native:.1e}\n",
            of_target().count()
        );
    }
    summary
}

/// The columns of [`markdown`]: the targets that every model runs on, but for C and Python, where
/// the numbers are those of native.
const COLUMNS: [Target; 4] = [
    Target::Native,
    Target::Wasmtime,
    Target::Node,
    Target::Browser,
];

/// The table of the README: a row for each architecture, task and format of the weights, and
/// the largest difference to the reference on each target.
pub fn markdown(lines: &[Line]) -> String {
    let exact = lines
        .iter()
        .filter(|line| matches!(line.agreement, Agreement::Within(_)));
    let mut rows: BTreeMap<(&str, &str, &str), Vec<&Line>> = BTreeMap::new();
    for line in exact {
        rows.entry((&line.architecture, &line.task, line.weights))
            .or_default()
            .push(line);
    }
    let names: Vec<&str> = COLUMNS.iter().map(|target| target.name()).collect();
    let mut table = format!(
        "| architecture | task | weights | {} |\n",
        names.join(" | ")
    );
    table += &format!("|---|---|---|{}\n", "---|".repeat(names.len()));
    for ((architecture, task, weights), lines) in rows {
        let cells = names.iter().map(|name| {
            let of_target = lines.iter().filter(|line| line.target == *name);
            let largest = of_target.map(|line| line.reference).reduce(f64::max);
            largest.map_or("–".to_owned(), |largest| format!("{largest:.0e}"))
        });
        let cells: Vec<String> = cells.collect();
        let task = task.replace('_', " ");
        let cells = cells.join(" | ");
        table += &format!("| {architecture} | {task} | {weights} | {cells} |\n");
    }
    table
}

/// The lines for programs.
pub fn to_json(lines: &[Line]) -> Value {
    let lines = lines.iter().map(|line| {
        json!({
            "model": line.model,
            "architecture": line.architecture,
            "task": line.task,
            "weights": line.weights,
            "target": line.target,
            "texts": line.texts,
            "compared_by": match line.agreement {
                Agreement::Within(_) => "largest difference",
                Agreement::Cosine(_) => "1 - lowest cosine",
            },
            "to_reference": line.reference,
            "to_native": line.native,
            "seconds": line.time.as_secs_f64(),
        })
    });
    lines.collect()
}
