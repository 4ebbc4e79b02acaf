//! The `build` command: what the options and the config file mean together.

use crate::cli::{Build, ComputeArgument, TaskArgument, WeightsArgument};
use crate::runtimes::{warn, warn_of_version};
use anyhow::{Context, bail};
use clap::ValueEnum;
use encoderfile::manifest::{Compute, TruncationSide, TruncationStrategy};
use encoderfile_builder::base::Carried;
use encoderfile_builder::build::{Built, Kind, Origin, Settings, build};
use encoderfile_builder::config_file::{ConfigFile, ModelFiles, ModelPath, TokenizerSection};
use encoderfile_builder::folder::{Overrides, Paths};
use encoderfile_builder::hub::{self, Downloaded, HubError, Named};
use std::path::Path;
use std::time::Duration;

/// A text of full length that takes longer is worth a line.
const NOTABLE: Duration = Duration::from_secs(1);

/// Builds and says what was built.
pub(crate) fn run(arguments: &Build) -> anyhow::Result<()> {
    let settings = settings(arguments)?;
    let built = build(&settings, &Carried::open()?)?;
    report(&built)?;
    let slow = built.full_length.filter(|time| *time >= NOTABLE);
    if let (Some(time), Some(model)) = (slow, &built.manifest.model) {
        let (tokens, seconds) = (model.pipeline.max_tokens, time.as_secs_f64());
        eprintln!("a text of {tokens} tokens took {seconds:.1} s on this machine");
    }
    Ok(())
}

fn settings(arguments: &Build) -> anyhow::Result<Settings> {
    let mut config = read_config(arguments)?;
    let of_file = |error: anyhow::Error| match &arguments.config {
        Some(path) => error.context(path.display().to_string()),
        None => error,
    };
    let origin = origin(arguments, &mut config)?;
    let task = match (arguments.task, &config.model_type) {
        (Some(task), _) => Some(task),
        (None, Some(name)) => Some(choice::<TaskArgument>("model_type", name).map_err(of_file)?),
        (None, None) => None,
    };
    let weights = match (arguments.weights, &config.weights) {
        (Some(weights), _) => Some(weights),
        (None, Some(name)) => Some(choice::<WeightsArgument>("weights", name).map_err(of_file)?),
        (None, None) => None,
    };
    let compute = match (arguments.compute, &config.compute) {
        (Some(compute), _) => Some(compute),
        (None, Some(name)) => Some(choice::<ComputeArgument>("compute", name).map_err(of_file)?),
        (None, None) => None,
    };
    Ok(Settings {
        origin,
        target: arguments.target.clone().or(config.target),
        base: arguments.base.clone().or(config.base_binary_path),
        output: arguments.output.clone().or(config.output_path),
        name: arguments.name.clone().or(config.name),
        version: arguments.model_version.clone().or(config.version),
        overrides: Overrides {
            task: task.map(Into::into),
            max_length: arguments.max_length.or(config.tokenizer.max_length),
            truncation_side: truncation_side(&config.tokenizer).map_err(of_file)?,
            truncation_strategy: truncation_strategy(&config.tokenizer).map_err(of_file)?,
            license: arguments.license.clone(),
        },
        weights: weights.map(Into::into),
        compute: compute.map(Into::into),
    })
}

fn origin(arguments: &Build, config: &mut ConfigFile) -> anyhow::Result<Origin> {
    let weights_file = arguments.weights_file.as_deref();
    let weights_file = weights_file.or(config.weights_file.as_deref());
    Ok(
        match (&arguments.from, &arguments.model, config.path.take()) {
            (Some(file), ..) => Origin::Encoderfile(file.clone()),
            (None, Some(name), _) => model(name, weights_file, arguments.no_download)?,
            (None, None, Some(ModelPath::Folder(name))) => {
                model(&name, weights_file, arguments.no_download)?
            }
            (None, None, Some(ModelPath::Files(_))) if weights_file.is_some() => {
                bail!(
                    "`weights_file` is a name in a model folder; here `model_weights_path` names the file"
                )
            }
            (None, None, Some(ModelPath::Files(files))) => Origin::Folder(paths_of(files)),
            (None, None, None) => match &arguments.config {
                // A file that was meant to say it.
                Some(file) => bail!(
                    "{}: `path` is missing: the model folder or a model of the hub; or give --model MODEL or --from FILE",
                    file.display()
                ),
                None => Origin::Default,
            },
        },
    )
}

/// The folder of that name, or else the model that the hub has under it.
fn model(name: &Path, weights: Option<&Path>, no_download: bool) -> anyhow::Result<Origin> {
    let reference = match Named::of(name)? {
        Named::Folder(folder) => {
            return Ok(Origin::Folder(Paths::in_folder_with(&folder, weights)?));
        }
        Named::Model(reference) => reference,
    };
    let mut settings = hub::Settings::from_environment()?;
    if no_download {
        settings = settings.offline("--no-download");
    }
    let snapshot = hub::fetch(&settings, &reference, weights).map_err(|error| match error {
        // As of any other folder.
        HubError::Model(error) => anyhow::Error::from(*error),
        error => error.into(),
    })?;
    let Downloaded { files, bytes } = snapshot.downloaded;
    if files > 0 {
        let commit = &snapshot.source.commit;
        let megabytes = bytes as f64 / 1e6;
        eprintln!("{reference}: commit {commit}, downloaded {files} files, {megabytes:.1} MB");
    }
    Ok(Origin::Hub(Box::new(snapshot)))
}

fn paths_of(files: ModelFiles) -> Paths {
    let beside = |name| files.tokenizer_path.with_file_name(name);
    Paths {
        folder: files
            .model_config_path
            .parent()
            .unwrap_or(Path::new("."))
            .to_owned(),
        tokenizer_config: files
            .tokenizer_config_path
            .unwrap_or_else(|| beside("tokenizer_config.json")),
        weights: files.model_weights_path,
        config: files.model_config_path,
        tokenizer: files.tokenizer_path,
        tokenizer_stands_alone: false,
    }
}

/// The config file; then goes where relative paths begin.
fn read_config(arguments: &Build) -> anyhow::Result<ConfigFile> {
    let config = match &arguments.config {
        Some(path) => ConfigFile::read(path)?,
        None => ConfigFile::default(),
    };
    for message in config.without_effect() {
        warn(&message);
    }
    if let Some(version) = &arguments.runtime_version {
        warn_of_version(version);
    }
    if let Some(directory) = &arguments.directory {
        let there = std::env::set_current_dir(directory);
        there.with_context(|| format!("--directory {}", directory.display()))?;
    }
    Ok(config)
}

fn truncation_side(settings: &TokenizerSection) -> anyhow::Result<Option<TruncationSide>> {
    Ok(match settings.truncation_side.as_deref() {
        None => None,
        Some("left") => Some(TruncationSide::Left),
        Some("right") => Some(TruncationSide::Right),
        Some(other) => bail!("`tokenizer.truncation_side`: {other:?}; expected left or right"),
    })
}

fn truncation_strategy(settings: &TokenizerSection) -> anyhow::Result<Option<TruncationStrategy>> {
    Ok(match settings.truncation_strategy.as_deref() {
        None => None,
        Some("longest_first") => Some(TruncationStrategy::LongestFirst),
        Some("only_first") => Some(TruncationStrategy::OnlyFirst),
        Some("only_second") => Some(TruncationStrategy::OnlySecond),
        Some(other) => bail!(
            "`tokenizer.truncation_strategy`: {other:?}; expected longest_first, only_first or only_second"
        ),
    })
}

/// A value of the config file that is one of a few.
fn choice<T: ValueEnum>(key: &str, name: &str) -> anyhow::Result<T> {
    T::from_str(name, true).map_err(|_| {
        let known: Vec<String> = T::value_variants()
            .iter()
            .filter_map(|it| Some(it.to_possible_value()?.get_name().to_owned()))
            .collect();
        anyhow::anyhow!("`{key}`: {name:?}; expected one of {}", known.join(", "))
    })
}

fn report(built: &Built) -> anyhow::Result<()> {
    let manifest = &built.manifest;
    let model = manifest.model.as_ref().context("it holds no model")?;
    let (weights, pipeline) = (model.weights, &model.pipeline);
    let cosine = if weights.min_cosine == 1.0 {
        String::new()
    } else {
        format!(", worst cosine to f32 {:.5}", weights.min_cosine)
    };
    let findings = model.provenance.findings.iter();
    let quantised = findings.filter(|it| it.subject == "weights");
    let quantised: Vec<&str> = quantised.map(|it| it.meaning.as_str()).collect();
    let quantised = match &*quantised {
        [] => String::new(),
        quantised => format!(" ({})", quantised.join("; ")),
    };
    let computed = match pipeline.compute {
        Compute::F32 => "",
        Compute::Int8 => ", computed in int8",
    };
    let shown = built.output.display();
    eprintln!(
        "{shown}: {}, {}, up to {} tokens ({}), weights {}{quantised}{computed}{cosine}, {:.1} MB",
        manifest.name,
        model.task.name(),
        pipeline.max_tokens,
        pipeline.max_tokens_source,
        weights.encoding.name(),
        built.length_bytes as f64 / 1e6,
    );
    let command = match built.kind {
        Kind::Bundle => format!("encoderfile run {shown}"),
        Kind::Native if built.output.components().count() == 1 => format!("./{shown}"),
        Kind::Native => shown.to_string(),
        Kind::Wasm => format!("wasmtime run {shown}"),
    };
    eprintln!("try: {command} infer \"…\"");
    Ok(())
}
