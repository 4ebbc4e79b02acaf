//! `build --models --dry-run`: what a build would read, fetch and write. It writes nothing.

use super::table::{Table, size};
use super::{Builder, Job, Output, code};
use crate::settings::{of_hub, of_model};
use encoderfile::weights::WeightsEncoding;
use encoderfile_builder::base::Base;
use encoderfile_builder::fingerprint::{Material, is_current};
use encoderfile_builder::folder::Paths;
use encoderfile_builder::hub::{Survey, Surveyed};
use encoderfile_builder::inputs::{self, Input};
use encoderfile_builder::models_file::Place;
use encoderfile_builder::runtimes::{RuntimeError, Runtimes, file_name};
use encoderfile_builder::target::Target;
use std::fs;
use std::process::ExitCode;

/// What is done with a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    /// It is on this machine.
    Read,
    /// It is on the hub.
    Fetch,
    /// It is not there, or is to be another.
    Write,
    /// It is up to date.
    Keep,
    /// It cannot be built.
    Fail,
}

impl Action {
    const ALL: [Self; 5] = [Self::Read, Self::Fetch, Self::Write, Self::Keep, Self::Fail];

    fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Fetch => "fetch",
            Self::Write => "write",
            Self::Keep => "keep",
            Self::Fail => "fail",
        }
    }
}

/// A file that a build would do something with.
struct Step {
    action: Action,
    file: String,
    /// As far as it is known; of what is not written yet, about.
    length: Option<u64>,
}

impl Step {
    fn of(output: &Output<'_>, action: Action, length: Option<u64>) -> Self {
        Self {
            action,
            file: output.path.display().to_string(),
            length,
        }
    }

    fn size(&self) -> String {
        match (self.length, self.action) {
            (None, _) => "-".into(),
            (Some(length), Action::Write) => format!("about {}", size(length)),
            (Some(length), _) => size(length),
        }
    }
}

impl Builder {
    /// Says what [`Builder::build`] would do.
    pub(super) fn plan(&self, jobs: &[Job<'_>]) -> anyhow::Result<ExitCode> {
        let mut table = Table::new(["model", "action", "file", "size"]);
        let mut all = Vec::new();
        for job in jobs {
            let steps = self.plan_model(job).unwrap_or_else(|error| {
                self.say(job, error);
                let outputs = job.outputs.iter();
                outputs.map(|it| Step::of(it, Action::Fail, None)).collect()
            });
            for step in &steps {
                table.push([
                    job.model.name.clone(),
                    step.action.name().to_owned(),
                    step.file.clone(),
                    step.size(),
                ]);
            }
            all.extend(steps);
        }
        crate::print(&table.to_string())?;
        eprintln!("nothing is written; a build would {}", summary(&all));
        Ok(code(all.iter().any(|it| it.action == Action::Fail)))
    }

    fn plan_model(&self, job: &Job<'_>) -> anyhow::Result<Vec<Step>> {
        match &job.place {
            Place::Folder(folder) => {
                let paths = Paths::in_folder_with(folder, job.weights_file())?;
                self.steps(job, Material::Files(&paths), || {
                    let inputs = inputs::of(&paths)?.into_iter().map(|input| Surveyed {
                        input,
                        is_cached: true,
                    });
                    Ok(inputs.collect())
                })
            }
            Place::Hub(reference) => {
                let hub = of_hub(self.no_download)?;
                let survey = Survey::open(&hub, reference).map_err(of_model)?;
                let source = survey.source();
                self.steps(job, job.of_commit(&source), || {
                    survey.files(job.weights_file()).map_err(of_model)
                })
            }
        }
    }

    /// What is read, unless everything is up to date, and then what becomes of each output.
    fn steps(
        &self,
        job: &Job<'_>,
        material: Material<'_>,
        files: impl FnOnce() -> anyhow::Result<Vec<Surveyed>>,
    ) -> anyhow::Result<Vec<Step>> {
        let fingerprint = job.settings.fingerprint(material)?;
        let mut stale = Vec::new();
        let mut steps = Vec::new();
        for output in &job.outputs {
            match Base::of_target(output.target, &self.runtimes) {
                Err(error) if !self.no_download && is_to_be_fetched(&error) => {
                    steps.push(of_program(output, &self.runtimes)?);
                    stale.push((output, None));
                }
                Err(error) => {
                    self.say(job, error);
                    steps.push(Step::of(output, Action::Fail, None));
                }
                Ok(base) if self.skips && is_current(&output.path, &base, &fingerprint) => {
                    let length = fs::metadata(&output.path).ok().map(|it| it.len());
                    steps.push(Step::of(output, Action::Keep, length));
                }
                Ok(base) => stale.push((output, Some(base))),
            }
        }
        if stale.is_empty() {
            return Ok(steps);
        }
        let files = files()?;
        let payload = payload_length(&files, job.settings.precision.weights);
        let written = stale.iter().map(|(output, base)| {
            let length = payload.zip(base.as_ref());
            let length = length.and_then(|(payload, base)| base.length_with(payload).ok());
            Step::of(output, Action::Write, length)
        });
        let read = files.iter().map(|it| of_file(job, it));
        Ok(read.chain(steps).chain(written).collect())
    }
}

/// Whether a base program is not here, and a build would download it.
fn is_to_be_fetched(error: &anyhow::Error) -> bool {
    let error = error.downcast_ref::<RuntimeError>();
    matches!(error, Some(RuntimeError::Forbidden { .. }))
}

fn of_program(output: &Output<'_>, runtimes: &Runtimes) -> anyhow::Result<Step> {
    let target = Target::find(output.target)?;
    Ok(Step {
        action: Action::Fetch,
        file: file_name(target),
        length: runtimes.released_length(target),
    })
}

fn of_file(job: &Job<'_>, file: &Surveyed) -> Step {
    let Input { name, path, .. } = &file.input;
    Step {
        action: match file.is_cached {
            true => Action::Read,
            false => Action::Fetch,
        },
        file: match &job.place {
            Place::Folder(_) => path.display().to_string(),
            Place::Hub(reference) => format!("{}/{name}", reference.id()),
        },
        length: file.input.length,
    }
}

/// About how many bytes a file has beside its program: what is read, with the weights as they
/// will be stored, taken to be float32.
fn payload_length(files: &[Surveyed], encoding: Option<WeightsEncoding>) -> Option<u64> {
    let lengths = files.iter().map(|it| {
        let length = it.input.length?;
        Some(match it.input.is_weights {
            true => stored_length(length, encoding),
            false => length,
        })
    });
    lengths.sum()
}

/// How many bytes so many of float32 are when they are stored.
fn stored_length(length: u64, encoding: Option<WeightsEncoding>) -> u64 {
    /// Values of a group, or more.
    const VALUES: usize = 128;

    let of_values = encoding.and_then(|it| it.unit_len(VALUES, 1));
    let of_values = of_values.map_or(4 * VALUES as u64, |it| it as u64);
    length / (4 * VALUES as u64) * of_values
}

/// How many files of each action, and how long they are.
fn summary(steps: &[Step]) -> String {
    let parts = Action::ALL.into_iter().filter_map(|action| {
        let of_action: Vec<&Step> = steps.iter().filter(|it| it.action == action).collect();
        let files = match of_action.len() {
            0 => return None,
            1 => "1 file".to_owned(),
            count => format!("{count} files"),
        };
        let length = of_action.iter().map(|it| it.length).sum::<Option<u64>>();
        let total = Step {
            action,
            file: String::new(),
            length,
        };
        Some(match length {
            Some(_) => format!("{} {files} ({})", action.name(), total.size()),
            None => format!("{} {files}", action.name()),
        })
    });
    parts.collect::<Vec<_>>().join(", ")
}
