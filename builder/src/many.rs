//! `build --models`: the models of one file, each for one target or several. What is up to date
//! stays, and whatever fails keeps nothing else from being built.

mod dry_run;
mod table;

use crate::cli::{Build, Cli};
use crate::runtime_command::{self, warn};
use crate::settings::{of_hub, of_model, report, report_download};
use anyhow::Context;
use encoderfile::manifest::HubCommit;
use encoderfile_builder::base::Base;
use encoderfile_builder::build::{Origin, Settings, prepare};
use encoderfile_builder::fingerprint::{Material, is_current};
use encoderfile_builder::folder::Paths;
use encoderfile_builder::hub::Checkout;
use encoderfile_builder::models_file::{ModelEntry, ModelsFile, Place};
use encoderfile_builder::runtimes::Runtimes;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use table::{Table, size};

/// Builds them, or says what would be done.
pub(crate) fn run(cli: &Cli, arguments: &Build, file: &Path) -> anyhow::Result<ExitCode> {
    let models = ModelsFile::read(file)?;
    let chosen = models.choose(&arguments.many.names);
    let chosen = chosen.with_context(|| file.display().to_string())?;
    if let Some(directory) = &arguments.directory {
        let there = std::env::set_current_dir(directory);
        there.with_context(|| format!("--directory {}", directory.display()))?;
    }
    let jobs = chosen.into_iter().map(|model| Job::new(model, arguments));
    let jobs: Vec<Job<'_>> = jobs.collect::<anyhow::Result<_>>()?;
    let version = arguments.runtime_version.as_deref();
    let no_download = arguments.no_download || arguments.many.dry_run;
    let builder = Builder {
        runtimes: runtime_command::open(cli, None, version, no_download)?,
        skips: !arguments.many.no_skip,
        no_download: arguments.no_download,
        verbose: cli.verbose,
    };
    match arguments.many.dry_run {
        true => builder.plan(&jobs),
        false => builder.build(&jobs),
    }
}

/// A model, and what is made of it.
struct Job<'a> {
    model: &'a ModelEntry,
    place: Place<'a>,
    settings: Settings,
    outputs: Vec<Output<'a>>,
}

/// A file that a model is built into.
struct Output<'a> {
    target: &'a str,
    path: PathBuf,
}

impl<'a> Job<'a> {
    fn new(model: &'a ModelEntry, arguments: &Build) -> anyhow::Result<Self> {
        if let Some(message) = model.tokenizer.without_effect() {
            warn(&format!("model `{}`: {message}", model.name));
        }
        let folder = arguments.output.as_deref().unwrap_or(Path::new(""));
        let outputs = model.outputs()?.into_iter().map(|(target, path)| Output {
            target,
            path: folder.join(path),
        });
        Ok(Self {
            model,
            place: model.place()?,
            settings: model.settings()?,
            outputs: outputs.collect(),
        })
    }

    fn weights_file(&self) -> Option<&Path> {
        self.model.weights_file.as_deref()
    }

    fn of_commit<'s>(&'s self, source: &'s HubCommit) -> Material<'s> {
        Material::Commit {
            source,
            weights_file: self.weights_file(),
        }
    }
}

/// What became of an output; of those that are there, how many bytes it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Built(u64),
    Current(u64),
    Failed,
}

impl Outcome {
    fn name(self) -> &'static str {
        match self {
            Self::Built(_) => "built",
            Self::Current(_) => "up to date",
            Self::Failed => "failed",
        }
    }

    fn size(self) -> String {
        match self {
            Self::Built(length) | Self::Current(length) => size(length),
            Self::Failed => "-".into(),
        }
    }
}

/// An output that has to be written, and behind which program.
struct Stale<'a> {
    index: usize,
    output: &'a Output<'a>,
    base: Base,
}

struct Builder {
    runtimes: Runtimes,
    /// What is up to date is not built.
    skips: bool,
    no_download: bool,
    verbose: bool,
}

impl Builder {
    fn build(&self, jobs: &[Job<'_>]) -> anyhow::Result<ExitCode> {
        let mut table = Table::new(["model", "target", "result", "file", "size"]);
        let mut all = Vec::new();
        for (index, job) in jobs.iter().enumerate() {
            eprintln!("[{}/{}] {}", index + 1, jobs.len(), job.model.name);
            let outcomes = self.build_model(job);
            for (output, outcome) in job.outputs.iter().zip(&outcomes) {
                table.push([
                    job.model.name.clone(),
                    output.target.to_owned(),
                    outcome.name().to_owned(),
                    output.path.display().to_string(),
                    outcome.size(),
                ]);
            }
            all.extend(outcomes);
        }
        crate::print(&table.to_string())?;
        let count = |is: fn(&Outcome) -> bool| all.iter().filter(|it| is(it)).count();
        let built = count(|it| matches!(it, Outcome::Built(_)));
        let current = count(|it| matches!(it, Outcome::Current(_)));
        let failed = count(|it| matches!(it, Outcome::Failed));
        eprintln!("{built} built, {current} up to date, {failed} failed");
        Ok(code(failed > 0))
    }

    /// What becomes of each output of a model.
    fn build_model(&self, job: &Job<'_>) -> Vec<Outcome> {
        let mut outcomes = vec![Outcome::Failed; job.outputs.len()];
        if let Err(error) = self.write_outputs(job, &mut outcomes) {
            self.say(job, error);
        }
        outcomes
    }

    fn write_outputs(&self, job: &Job<'_>, outcomes: &mut [Outcome]) -> anyhow::Result<()> {
        match &job.place {
            Place::Folder(folder) => {
                let paths = Paths::in_folder_with(folder, job.weights_file())?;
                let stale = self.stale(job, Material::Files(&paths), outcomes)?;
                self.write_stale(job, &stale, outcomes, || Ok(Origin::Folder(paths.clone())))
            }
            Place::Hub(reference) => {
                let hub = of_hub(self.no_download)?;
                let checkout = Checkout::open(&hub, reference).map_err(of_model)?;
                let source = checkout.source();
                let stale = self.stale(job, job.of_commit(&source), outcomes)?;
                self.write_stale(job, &stale, outcomes, || {
                    let snapshot = checkout.snapshot(job.weights_file()).map_err(of_model)?;
                    report_download(reference, &snapshot);
                    Ok(Origin::Hub(Box::new(snapshot)))
                })
            }
        }
    }

    /// The outputs that have to be written; those that are up to date are said to be.
    fn stale<'a>(
        &self,
        job: &'a Job<'_>,
        material: Material<'_>,
        outcomes: &mut [Outcome],
    ) -> anyhow::Result<Vec<Stale<'a>>> {
        let fingerprint = job.settings.fingerprint(material)?;
        let mut stale = Vec::new();
        for (index, (output, outcome)) in job.outputs.iter().zip(outcomes).enumerate() {
            let base = match Base::of_target(output.target, &self.runtimes) {
                Ok(base) => base,
                Err(error) => {
                    self.say(job, error);
                    continue;
                }
            };
            if self.skips && is_current(&output.path, &base, &fingerprint) {
                *outcome = Outcome::Current(fs::metadata(&output.path)?.len());
                continue;
            }
            stale.push(Stale {
                index,
                output,
                base,
            });
        }
        Ok(stale)
    }

    fn write_stale(
        &self,
        job: &Job<'_>,
        stale: &[Stale<'_>],
        outcomes: &mut [Outcome],
        origin: impl FnOnce() -> anyhow::Result<Origin>,
    ) -> anyhow::Result<()> {
        if stale.is_empty() {
            return Ok(());
        }
        let settings = Settings {
            origin: origin()?,
            ..job.settings.clone()
        };
        // The base program is a part of a size that is asked for, so that each target has weights
        // of its own.
        let together = match settings.precision.target_size {
            Some(_) => 1,
            None => stale.len(),
        };
        for stale in stale.chunks(together) {
            self.write_together(job, &settings, stale, outcomes)?;
        }
        Ok(())
    }

    /// Makes the model once, and writes it for some targets.
    fn write_together(
        &self,
        job: &Job<'_>,
        settings: &Settings,
        stale: &[Stale<'_>],
        outcomes: &mut [Outcome],
    ) -> anyhow::Result<()> {
        let [first, ..] = stale else {
            return Ok(());
        };
        let prepared = prepare(&settings.beside(&first.base)?, self.runtimes.carried())?;
        if let Some(task) = job.model.task {
            task.check(prepared.manifest())?;
        }
        for Stale {
            index,
            output,
            base,
        } in stale
        {
            let written = create_folder_of(&output.path)
                .and_then(|()| prepared.write(base, &output.path))
                .and_then(|built| report(&built).map(|()| built.length_bytes));
            match (written, outcomes.get_mut(*index)) {
                (Ok(length), Some(outcome)) => *outcome = Outcome::Built(length),
                (Ok(_), None) => {}
                (Err(error), _) => self.say(job, error),
            }
        }
        Ok(())
    }

    /// One line about a model that is not built.
    fn say(&self, job: &Job<'_>, error: anyhow::Error) {
        crate::report(&error.context(job.model.name.clone()), self.verbose);
    }
}

fn create_folder_of(path: &Path) -> anyhow::Result<()> {
    match path.parent() {
        Some(folder) => fs::create_dir_all(folder).with_context(|| folder.display().to_string()),
        None => Ok(()),
    }
}

fn code(failed: bool) -> ExitCode {
    match failed {
        true => ExitCode::FAILURE,
        false => ExitCode::SUCCESS,
    }
}
