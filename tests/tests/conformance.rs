//! Every model folder, built with the real tool and run on every target:
//! against its reference results, and every target against native.
//!
//! One trial for each model and target: `cargo test --test conformance deberta`,
//! `cargo test --test conformance bert-embedding/node`.

#[path = "trials/trial.rs"]
mod trial;

use crate::trial::trial;
use anyhow::{Context, ensure};
use encoderfile::graph::ISA_VARIABLE;
use encoderfile_tests::compare::{self, Agreement};
use encoderfile_tests::fixture::{self, Case, DEFAULT_MODEL};
use encoderfile_tests::programs;
use encoderfile_tests::report::{self, Line};
use encoderfile_tests::request::{Item, Request};
use encoderfile_tests::rows::Row;
use encoderfile_tests::target::{Built, Target};
use encoderfile_tests::workbench::Workbench;
use libtest_mimic::{Arguments, Trial};
use serde_json::{Map, Value};
use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::io::{self, Write};
use std::iter;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Instant;

/// wasmtime compiles each model's own module anew (some seconds), so only one
/// of each task runs there, and the default model.
const ON_ALL_TARGETS: [&str; 4] = [
    "bert-embedding",
    "deberta-v2-sequence_classification",
    "roberta-token_classification",
    "st-mean-normalize",
];

/// Where the README's table is; `cargo xtask table` knows the same.
const TABLE_BEGIN: &str = "<!-- conformance table -->";
const TABLE_END: &str = "<!-- end of conformance table -->";

/// What a file is built of.
const ONNX: &str = "ONNX";
const PYTORCH: &str = "PyTorch";

/// In folders that have it beside model.onnx.
const CHECKPOINT: &str = "model.safetensors";

/// Whose model.safetensors has no more than what follows the graph.
const PROJECTION_ALONE: &str = "late-stanford-projected";

/// Architecture, task and weights of a row of that table.
type TableRow = (String, String, String);

/// A model, and what it is compared with.
#[derive(Clone)]
struct Subject {
    name: String,
    /// `None` for the tool's own.
    model: Option<PathBuf>,
    /// What is built, where the folder has both: model.safetensors beside model.onnx.
    weights_file: Option<&'static str>,
    weights: &'static str,
    architecture: String,
    task: String,
    cases: Vec<Case>,
    requests: Vec<Request>,
    agreement: Agreement,
    targets: Vec<Target>,
    options: Map<String, Value>,
}

/// A model that trials share: built by the first, removed with the last.
struct Model {
    subject: Subject,
    built: OnceLock<Result<Built, String>>,
    native: OnceLock<Checked>,
    module: OnceLock<Checked>,
}

/// The line of a table and what it is of, or what was wrong.
type Checked = Result<(Line, Results), String>;

fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::from_args();
    let workbench = Workbench::open()?.map(Arc::new);
    let lines = Arc::new(Mutex::new(Vec::new()));
    let trials = trials(workbench.as_ref(), &lines)?;
    let conclusion = libtest_mimic::run(&arguments, trials);
    let mut lines = lines.lock().unwrap_or_else(PoisonError::into_inner);
    lines.sort_by(|a, b| a.model.cmp(&b.model));
    if !lines.is_empty() {
        show(&lines, conclusion.num_filtered_out == 0)?;
    }
    Ok(conclusion.exit_code())
}

fn trials(
    workbench: Option<&Arc<Workbench>>,
    lines: &Arc<Mutex<Vec<Line>>>,
) -> anyhow::Result<Vec<Trial>> {
    let subjects = subjects()?;
    let on_all = subjects.iter().filter(|it| it.targets == Target::ALL);
    ensure!(
        is_of_one_isa() || on_all.count() == ON_ALL_TARGETS.len() + 1,
        "a model of ON_ALL_TARGETS is not there"
    );
    let rows = subjects.iter().filter(|it| it.has_reference_row());
    let rows = rows.flat_map(|it| {
        let twin = it.of_checkpoint().map(|it| it.weights);
        let weights = iter::once(it.weights).chain(twin);
        weights.map(|weights| (it.architecture.clone(), it.task.clone(), weights.to_owned()))
    });
    let rows: BTreeSet<TableRow> = rows.collect();
    let readme = trial("readme".into(), workbench.cloned(), |_| readme_has(rows));
    let mut trials = vec![(0, readme)];
    for (index, subject) in subjects.into_iter().enumerate() {
        let targets = subject.targets.clone();
        // Both have the same kernels, so that one of them says enough of an instruction set.
        let twin = subject.of_checkpoint().filter(|_| !is_of_one_isa());
        let twin = twin.map(Model::new);
        let model = Arc::new(Model::new(subject));
        if let Some(twin) = twin {
            let name = format!("{}/checkpoint", twin.subject.name);
            let (model, lines) = (model.clone(), lines.clone());
            let trial = trial(name, workbench.cloned(), move |workbench| {
                let line = twin.check_beside(workbench, &model)?;
                let mut lines = lines.lock().unwrap_or_else(PoisonError::into_inner);
                lines.push(line);
                Ok(())
            });
            trials.push((index + 1, trial));
        }
        for target in targets {
            let name = format!("{}/{}", model.subject.name, target.trial());
            let workbench = workbench.filter(|it| it.has(target)).cloned();
            let (model, lines) = (model.clone(), lines.clone());
            let trial = trial(name, workbench, move |workbench| {
                let line = model.check(workbench, target)?;
                let mut lines = lines.lock().unwrap_or_else(PoisonError::into_inner);
                lines.push(line);
                Ok(())
            });
            // The others wait for native, so the next model's native goes before them.
            trials.push((index + usize::from(target != Target::Native), trial));
        }
    }
    trials.sort_by_key(|(turn, _)| *turn);
    Ok(trials.into_iter().map(|(_, trial)| trial).collect())
}

/// The README's table has these rows. Its numbers are of the run that wrote it.
fn readme_has(rows: BTreeSet<TableRow>) -> anyhow::Result<()> {
    let readme = fs::read_to_string(programs::root().join("README.md"))?;
    let rest = readme.split_once(TABLE_BEGIN).context(TABLE_BEGIN)?.1;
    let (table, _) = rest.split_once(TABLE_END).context(TABLE_END)?;
    let written = table.lines().filter_map(|line| {
        let mut cells = line.strip_prefix("| ")?.split(" | ");
        let architecture = cells.next()?.to_owned();
        let task = cells.next()?.replace(' ', "_");
        Some((architecture, task, cells.next()?.to_owned()))
    });
    let written: Vec<TableRow> = written.skip(1).collect();
    ensure!(
        written.iter().eq(&rows),
        "the table in README.md is of other models; `cargo xtask table` writes it anew"
    );
    Ok(())
}

/// Whether this run is about an instruction set that was chosen, of which the other
/// targets know nothing.
fn is_of_one_isa() -> bool {
    env::var_os(ISA_VARIABLE).is_some()
}

fn subjects() -> anyhow::Result<Vec<Subject>> {
    let default_model = fixture::read(DEFAULT_MODEL)?;
    let default_model = Subject {
        name: DEFAULT_MODEL.into(),
        model: None,
        weights_file: None,
        weights: ONNX,
        architecture: default_model.architecture,
        task: default_model.task,
        cases: default_model.cases,
        requests: default_model.requests,
        agreement: compare::INT8_TOLERANCE,
        targets: if is_of_one_isa() {
            vec![Target::Native]
        } else {
            Target::ALL.into()
        },
        options: Map::new(),
    };
    // The longest first, or one thread would be left with it at the end.
    let mut subjects = vec![default_model];
    for fixture in fixture::all()? {
        let on_all = ON_ALL_TARGETS.contains(&fixture.name.as_str());
        let targets = if is_of_one_isa() {
            vec![Target::Native]
        } else if on_all {
            Target::ALL.into()
        } else {
            Target::EVERY_MODEL.into()
        };
        let is_checkpoint = fixture.name.starts_with("checkpoint-");
        let is_rounded = fixture.name.starts_with("files-static");
        let per_token = ["embedding", "token_classification"].contains(&fixture.task.as_str());
        subjects.push(Subject {
            name: fixture.name,
            weights_file: None,
            weights: if is_checkpoint { PYTORCH } else { ONNX },
            model: Some(fixture.folder),
            architecture: fixture.architecture,
            task: fixture.task,
            cases: fixture.cases,
            requests: fixture.requests,
            agreement: match is_rounded {
                true => compare::ROUNDED_TOLERANCE,
                false => compare::REFERENCE_TOLERANCE,
            },
            targets,
            options: if per_token {
                Map::from_iter([("special_tokens".to_owned(), true.into())])
            } else {
                Map::new()
            },
        });
    }
    Ok(subjects)
}

impl Model {
    fn new(subject: Subject) -> Self {
        Self {
            subject,
            built: OnceLock::new(),
            native: OnceLock::new(),
            module: OnceLock::new(),
        }
    }

    /// Checks the model on a target.
    fn check(&self, workbench: &Workbench, target: Target) -> anyhow::Result<Line> {
        let built = self.built(workbench)?;
        let native = self.native(workbench)?;
        match target {
            Target::Native => return Ok(native.0.clone()),
            Target::Wasmtime => return Ok(self.module(workbench)?.0.clone()),
            _ => {}
        }
        let (line, results) = self
            .subject
            .check_on(target, workbench, built, Some(&native.1))?;
        if target.has_the_modules_numbers() && workbench.has(Target::Wasmtime) {
            let module = &self.module(workbench)?.1;
            ensure!(
                results == *module,
                "other numbers than those of the module in wasmtime"
            );
        }
        Ok(line)
    }

    /// Checks the model natively against its reference results and those of `other`.
    fn check_beside(&self, workbench: &Workbench, other: &Self) -> anyhow::Result<Line> {
        let (_, others) = other.native(workbench)?;
        let built = self.built(workbench)?;
        let checked = self
            .subject
            .check_on(Target::Native, workbench, built, Some(others));
        Ok(checked?.0)
    }

    fn built(&self, workbench: &Workbench) -> anyhow::Result<&Built> {
        let built = self.built.get_or_init(|| {
            let Subject {
                model,
                weights_file,
                ..
            } = &self.subject;
            let options: Vec<&str> = (weights_file.iter())
                .flat_map(|name| ["--weights-file", *name])
                .collect();
            let built = Built::with_options(workbench, model.as_deref(), &options);
            built.map_err(|error| format!("build: {error:#}"))
        });
        built
            .as_ref()
            .map_err(|error| anyhow::Error::msg(error.clone()))
    }

    fn native(&self, workbench: &Workbench) -> anyhow::Result<&(Line, Results)> {
        let built = self.built(workbench)?;
        let native = self.native.get_or_init(|| {
            let native = self
                .subject
                .check_on(Target::Native, workbench, built, None);
            native.map_err(|error| format!("{error:#}"))
        });
        native
            .as_ref()
            .map_err(|error| anyhow::anyhow!("native: {error}"))
    }

    /// In wasmtime, by the base module.
    fn module(&self, workbench: &Workbench) -> anyhow::Result<&(Line, Results)> {
        let (built, native) = (self.built(workbench)?, self.native(workbench)?);
        let module = self.module.get_or_init(|| {
            let checked =
                self.subject
                    .check_on(Target::Wasmtime, workbench, built, Some(&native.1));
            checked.map_err(|error| format!("{error:#}"))
        });
        module
            .as_ref()
            .map_err(|error| anyhow::anyhow!("wasmtime: {error}"))
    }
}

impl Subject {
    /// The same model, of the checkpoint that lies beside its ONNX file.
    fn of_checkpoint(&self) -> Option<Self> {
        let has_one = self.model.as_ref()?.join(CHECKPOINT).is_file();
        let is_whole = self.name != PROJECTION_ALONE;
        let is_another = has_one && is_whole && self.weights == ONNX;
        is_another.then(|| Self {
            weights_file: Some(CHECKPOINT),
            weights: PYTORCH,
            ..self.clone()
        })
    }

    /// Whether the README's table has a row of it.
    fn has_reference_row(&self) -> bool {
        matches!(self.agreement, Agreement::Within(_))
    }

    /// How far apart two targets may be.
    fn between_targets(&self) -> f64 {
        match self.agreement == compare::ROUNDED_TOLERANCE {
            true => compare::ROUNDED_TARGET_TOLERANCE,
            false => compare::TARGET_TOLERANCE,
        }
    }

    fn check_on(
        &self,
        target: Target,
        workbench: &Workbench,
        built: &Built,
        native: Option<&Results>,
    ) -> anyhow::Result<(Line, Results)> {
        let start = Instant::now();
        let items: Vec<Item> = self.cases.iter().map(Case::item).collect();
        let tokenized = workbench.tokenize(target, built, &items)?;
        let mut to_reference = 0.0_f64;
        let mut to_native = native.map(|_| 0.0_f64);
        let rows = if self.has_rows() {
            self.infer(target, workbench, built, &items)?
        } else {
            Vec::new()
        };
        for (index, (case, tokenized)) in self.cases.iter().zip(&tokenized).enumerate() {
            let text = || format!("text {}", index + 1);
            compare::tokens(case, tokenized).with_context(text)?;
            let Some(row) = rows.get(index) else { continue };
            let distance = compare::row(case, tokenized, row, self.agreement).with_context(text)?;
            to_reference = to_reference.max(distance);
            if let (Some(native), Some(largest)) = (native, &mut to_native) {
                let apart = compare::rows(&native.rows[index], row, self.between_targets())
                    .with_context(text)?;
                *largest = largest.max(apart.absolute);
            }
        }
        let mut requests = Vec::new();
        for (index, request) in self.requests.iter().enumerate() {
            let name = || format!("request {}", request.name);
            let got = request_results(target, workbench, built, request).with_context(name)?;
            let expected = Value::from(request.results.clone());
            let distance = compare::json(&expected, &got, self.agreement);
            to_reference = to_reference.max(distance.with_context(name)?);
            if let (Some(native), Some(largest)) = (native, &mut to_native) {
                let apart = compare::targets(&native.requests[index], &got, self.between_targets());
                *largest = largest.max(apart.with_context(name)?.absolute);
            }
            requests.push(got);
        }
        let line = Line {
            model: self.name.clone(),
            architecture: self.architecture.clone(),
            task: self.task.clone(),
            weights: self.weights,
            target: target.name(),
            texts: items.len() + self.requests.iter().map(|it| it.items.len()).sum::<usize>(),
            agreement: self.agreement,
            reference: to_reference,
            native: to_native,
            time: start.elapsed(),
        };
        Ok((line, Results { rows, requests }))
    }

    /// Whether a text alone is a request: a mask has to be in it to be filled.
    fn has_rows(&self) -> bool {
        self.task != "fill_mask"
    }

    /// The result of each text, after making sure that it does not depend on
    /// the texts around it: bit for bit the same in reverse order, and natively
    /// the last one in a process of its own.
    fn infer(
        &self,
        target: Target,
        workbench: &Workbench,
        built: &Built,
        items: &[Item],
    ) -> anyhow::Result<Vec<Row>> {
        let both: Vec<Item> = items.iter().chain(items.iter().rev()).cloned().collect();
        let lines = workbench.infer(target, built, &both, &self.options)?;
        for (index, item) in items.iter().enumerate() {
            let line = &lines[index];
            let again = &lines[both.len() - 1 - index];
            ensure!(
                line == again,
                "text {}: another result in another order",
                index + 1
            );
            if target == Target::Native && index == items.len() - 1 {
                let alone =
                    workbench.infer(target, built, std::slice::from_ref(item), &self.options)?;
                ensure!(
                    *line == alone[0],
                    "text {}: another result alone",
                    index + 1
                );
            }
        }
        encoderfile_tests::rows::parse(&lines[..items.len()].join("\n"))
    }
}

/// What a target made of a model's cases and requests.
#[derive(PartialEq)]
struct Results {
    rows: Vec<Row>,
    requests: Vec<Value>,
}

/// What comes out of a request.
fn request_results(
    target: Target,
    workbench: &Workbench,
    built: &Built,
    request: &Request,
) -> anyhow::Result<Value> {
    let lines = workbench.lines(target, built, &request.items, &request.options)?;
    let results = lines.iter().map(|line| serde_json::from_str(line));
    Ok(Value::Array(results.collect::<Result<_, _>>()?))
}

/// Prints the table, and keeps that of all models for `cargo xtask table`.
fn show(lines: &[Line], complete: bool) -> io::Result<()> {
    let (table, summary) = (report::table(lines), report::summary(lines));
    let mut out = io::stdout().lock();
    write!(out, "{table}{summary}")?;
    if !complete {
        return Ok(());
    }
    // Of one instruction set there are no other targets, which the README's table has.
    let name = if is_of_one_isa() {
        "conformance-of-one-isa.json"
    } else {
        "conformance.json"
    };
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::write(&path, format!("{:#}\n", report::to_json(lines)))?;
    fs::write(path.with_extension("md"), report::markdown(lines))?;
    writeln!(out, "{}", path.display())
}
