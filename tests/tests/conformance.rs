//! Every model folder, built with the real tool and run on every target:
//! against its reference results, and every target against native.
//!
//! `ENCODERFILE_MODELS=deberta cargo test --test conformance` runs only the
//! models whose name contains `deberta`.

#![allow(clippy::unwrap_used, reason = "what fails here is a failed test")]

use anyhow::{Context, ensure};
use encoderfile::graph::ISA_VARIABLE;
use encoderfile_tests::compare::{self, Agreement};
use encoderfile_tests::fixture::{self, Case, DEFAULT_MODEL};
use encoderfile_tests::programs::{self, Programs};
use encoderfile_tests::report::{self, Line};
use encoderfile_tests::request::{Item, Request};
use encoderfile_tests::rows::Row;
use encoderfile_tests::target::{Built, Runner, Target};
use serde_json::{Map, Value};
use std::env;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

/// wasmtime compiles each model's own module anew (some seconds), so only one
/// of each task runs there, and the default model.
const ON_ALL_TARGETS: [&str; 4] = [
    "bert-embedding",
    "deberta-v2-sequence_classification",
    "roberta-token_classification",
    "st-mean-normalize",
];

/// How many models there are at least, so that an empty folder is no success.
const MODELS_MIN: usize = 113;

/// Where the README's table is; `cargo xtask table` knows the same.
const TABLE_BEGIN: &str = "<!-- conformance table -->";
const TABLE_END: &str = "<!-- end of conformance table -->";

/// A suite of processes that each use one core, on the machines it runs on.
const THREADS: usize = 2;

/// A model, and what it is compared with.
struct Subject {
    name: String,
    /// `None` for the tool's own.
    model: Option<PathBuf>,
    architecture: String,
    task: String,
    cases: Vec<Case>,
    requests: Vec<Request>,
    agreement: Agreement,
    targets: Vec<Target>,
    options: Map<String, Value>,
}

/// What has been found so far.
#[derive(Default)]
struct Findings {
    lines: Vec<Line>,
    failures: Vec<String>,
}

#[test]
fn every_model_agrees_with_its_reference_on_every_target() {
    let Some(programs) = Programs::find().unwrap() else {
        return;
    };
    let runner = Runner::new(programs).unwrap();
    let filter = env::var("ENCODERFILE_MODELS").unwrap_or_default();
    let mut subjects = subjects().unwrap();
    subjects.retain(|subject| subject.name.contains(&filter));

    let findings = Mutex::new(Findings::default());
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                while let Some(subject) = subjects.get(next.fetch_add(1, Ordering::Relaxed)) {
                    subject.check(&runner, &findings);
                }
            });
        }
    });
    let Findings {
        mut lines,
        failures,
    } = findings.into_inner().unwrap();
    lines.sort_by(|a, b| a.model.cmp(&b.model));
    show(&lines).unwrap();
    assert!(
        failures.is_empty(),
        "{} failures:\n{}",
        failures.len(),
        failures.join("\n")
    );
    if filter.is_empty() && !is_of_one_isa() {
        assert_counts(&runner, &lines);
        assert_readme(&report::markdown(&lines));
    }
}

/// The README's table has the rows that this run has. Its numbers are of the
/// run that wrote it.
fn assert_readme(table: &str) {
    let readme = fs::read_to_string(programs::root().join("README.md")).unwrap();
    let names = |table: &str| -> Vec<String> {
        let rows = table.lines().filter(|line| line.starts_with("| "));
        rows.map(|row| row.split('|').take(3).collect()).collect()
    };
    let (_, rest) = readme.split_once(TABLE_BEGIN).unwrap();
    let (written, _) = rest.split_once(TABLE_END).unwrap();
    assert_eq!(
        names(written),
        names(table),
        "the table in README.md is of other models; `cargo xtask table` writes it anew"
    );
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
        let per_token = ["embedding", "token_classification"].contains(&fixture.task.as_str());
        subjects.push(Subject {
            name: fixture.name,
            model: Some(fixture.folder),
            architecture: fixture.architecture,
            task: fixture.task,
            cases: fixture.cases,
            requests: fixture.requests,
            agreement: compare::REFERENCE_TOLERANCE,
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

impl Subject {
    /// Checks the model on each of its targets whose program is there.
    fn check(&self, runner: &Runner, findings: &Mutex<Findings>) {
        let built = Built::new(runner, self.model.as_deref()).context("build");
        let mut native = None;
        for &target in self.targets.iter().filter(|target| runner.has(**target)) {
            let checked = match &built {
                Ok(built) => self.check_on(target, runner, built, native.as_ref()),
                Err(error) => Err(anyhow::anyhow!("{error:#}")),
            };
            let mut findings = findings.lock().unwrap();
            match checked {
                Ok((line, results)) => {
                    findings.lines.push(line);
                    if target == Target::Native {
                        native = Some(results);
                    }
                }
                Err(error) => {
                    let (name, target) = (&self.name, target.name());
                    findings
                        .failures
                        .push(format!("{name} on {target}: {error:#}"));
                }
            }
            if built.is_err() {
                break;
            }
        }
    }

    fn check_on(
        &self,
        target: Target,
        runner: &Runner,
        built: &Built,
        native: Option<&Results>,
    ) -> anyhow::Result<(Line, Results)> {
        let start = Instant::now();
        let items: Vec<Item> = self.cases.iter().map(Case::item).collect();
        let tokenized = runner.tokenize(target, built, &items)?;
        let mut to_reference = 0.0_f64;
        let mut to_native = native.map(|_| 0.0_f64);
        let rows = if self.has_rows() {
            self.infer(target, runner, built, &items)?
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
                let apart = compare::rows(&native.rows[index], row).with_context(text)?;
                *largest = largest.max(apart.absolute);
            }
        }
        let mut requests = Vec::new();
        for (index, request) in self.requests.iter().enumerate() {
            let name = || format!("request {}", request.name);
            let got = request_results(target, runner, built, request).with_context(name)?;
            let expected = Value::from(request.results.clone());
            let distance = compare::json(&expected, &got, self.agreement);
            to_reference = to_reference.max(distance.with_context(name)?);
            if let (Some(native), Some(largest)) = (native, &mut to_native) {
                let apart = compare::targets(&native.requests[index], &got);
                *largest = largest.max(apart.with_context(name)?.absolute);
            }
            requests.push(got);
        }
        let line = Line {
            model: self.name.clone(),
            architecture: self.architecture.clone(),
            task: self.task.clone(),
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
    /// in a process of its own.
    fn infer(
        &self,
        target: Target,
        runner: &Runner,
        built: &Built,
        items: &[Item],
    ) -> anyhow::Result<Vec<Row>> {
        let both: Vec<Item> = items.iter().chain(items.iter().rev()).cloned().collect();
        let lines = runner.infer(target, built, &both, &self.options)?;
        for (index, item) in items.iter().enumerate() {
            let line = &lines[index];
            let again = &lines[both.len() - 1 - index];
            ensure!(
                line == again,
                "text {}: another result in another order",
                index + 1
            );
            if target == Target::Native {
                let alone =
                    runner.infer(target, built, std::slice::from_ref(item), &self.options)?;
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
struct Results {
    rows: Vec<Row>,
    requests: Vec<Value>,
}

/// What comes out of a request.
fn request_results(
    target: Target,
    runner: &Runner,
    built: &Built,
    request: &Request,
) -> anyhow::Result<Value> {
    let lines = runner.lines(target, built, &request.items, &request.options)?;
    let results = lines.iter().map(|line| serde_json::from_str(line));
    Ok(Value::Array(results.collect::<Result<_, _>>()?))
}

fn assert_counts(runner: &Runner, lines: &[Line]) {
    for target in Target::ALL.into_iter().filter(|target| runner.has(*target)) {
        let of_target = lines.iter().filter(|line| line.target == target.name());
        let every = Target::EVERY_MODEL.contains(&target);
        let expected = if every {
            MODELS_MIN
        } else {
            ON_ALL_TARGETS.len() + 1
        };
        let count = of_target.count();
        assert!(
            count >= expected,
            "{count} models on {}, expected {expected}",
            target.name()
        );
    }
}

/// Prints the table past the test harness, which keeps what passing tests
/// print to itself, and writes it as JSON.
fn show(lines: &[Line]) -> io::Result<()> {
    // Of one instruction set there are no other targets, which the README's table has.
    let name = if is_of_one_isa() {
        "conformance-of-one-isa.json"
    } else {
        "conformance.json"
    };
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::write(&path, format!("{:#}\n", report::to_json(lines)))?;
    fs::write(path.with_extension("md"), report::markdown(lines))?;
    let (table, summary) = (report::table(lines), report::summary(lines));
    let mut out = io::stdout().lock();
    write!(out, "\n{table}{summary}{}\n", path.display())
}
