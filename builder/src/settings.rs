//! The `build` command: what the options and the config file mean together.

use crate::cli::{Build, Cli, ComputeArgument, TaskArgument};
use crate::runtime_command::{self, warn};
use anyhow::{Context, bail};
use clap::ValueEnum;
use encoderfile::manifest::{Compute, StoredWeights};
use encoderfile_builder::build::{Built, Kind, Origin, Settings, build};
use encoderfile_builder::config_file::{ConfigFile, ModelFiles, ModelPath};
use encoderfile_builder::folder::{Overrides, Paths};
use encoderfile_builder::hub::{self, Downloaded, HubError, Named, Reference, Snapshot};
use encoderfile_builder::oci;
use encoderfile_builder::precision::Precision;
use encoderfile_builder::precompiled::{Form, WASMTIME_VERSION};
use encoderfile_builder::target::HOST_TARGET;
use serde_json::json;
use std::io::{self, Write};
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

/// A text of full length that takes longer is worth a line.
const NOTABLE: Duration = Duration::from_secs(1);

/// Builds and says what was built.
pub(crate) fn run(cli: &Cli, arguments: &Build) -> anyhow::Result<()> {
    let mut config = read_config(arguments)?;
    let (cache, version) = (
        config.cache_dir.take(),
        arguments.runtime_version.as_deref(),
    );
    let runtimes = runtime_command::open(cli, cache, version, arguments.no_download)?;
    let settings = settings(arguments, config)?;
    let built = build(&settings, &runtimes)?;
    if let Some(base) = &settings.base {
        let base = base.display();
        warn(&format!("{base}: a base program that nobody has verified"));
    }
    report(&built)?;
    match arguments.json {
        true => print_json(&built)?,
        false => suggest(&built),
    }
    let slow = built.full_length.filter(|time| *time >= NOTABLE);
    if let (Some(time), Some(model)) = (slow, &built.manifest.model) {
        let (tokens, seconds) = (model.pipeline.max_tokens, time.as_secs_f64());
        eprintln!("a text of {tokens} tokens took {seconds:.1} s on this machine");
    }
    Ok(())
}

fn settings(arguments: &Build, mut config: ConfigFile) -> anyhow::Result<Settings> {
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
    let precision = precision(arguments, &config).map_err(of_file)?;
    Ok(Settings {
        origin,
        target: arguments.target.clone().or(config.target),
        base: arguments.base.clone().or(config.base_binary_path),
        precompile: arguments.precompile,
        snapshot: arguments.snapshot,
        output: arguments.output.clone().or(config.output_path),
        name: arguments.name.clone().or(config.name),
        version: arguments.model_version.clone().or(config.version),
        overrides: Overrides {
            task: task.map(Into::into),
            max_length: arguments.max_length.or(config.tokenizer.max_length),
            truncation_side: config.tokenizer.truncation_side().map_err(of_file)?,
            truncation_strategy: config.tokenizer.truncation_strategy().map_err(of_file)?,
            license: arguments.license.clone(),
            ..Overrides::default()
        },
        precision,
    })
}

/// What the command line says, or else the config file.
fn precision(arguments: &Build, config: &ConfigFile) -> anyhow::Result<Precision> {
    let compute = match (arguments.compute, &config.compute) {
        (None, Some(name)) => Some(choice::<ComputeArgument>("compute", name)?),
        (compute, _) => compute,
    };
    let rules = config
        .weights_rules
        .iter()
        .map(|rule| parsed("weights_rules", rule));
    let rules = match arguments.weights_rules.is_empty() {
        true => rules.collect::<anyhow::Result<_>>()?,
        false => arguments.weights_rules.clone(),
    };
    let weights = config.weights.as_deref().map(|it| parsed("weights", it));
    let target_size = config
        .target_size
        .as_deref()
        .map(|it| parsed("target_size", it));
    Ok(Precision {
        weights: arguments.weights.or(weights.transpose()?),
        rules,
        target_size: arguments.target_size.or(target_size.transpose()?),
        min_cosine: arguments.min_cosine.or(config.min_cosine),
        calibration: arguments
            .calibration
            .clone()
            .or_else(|| config.calibration.clone()),
        compute: compute.map(Into::into),
    })
}

/// A value of the config file that is written in a way of its own.
fn parsed<T: FromStr<Err: std::fmt::Display>>(key: &str, text: &str) -> anyhow::Result<T> {
    text.parse()
        .map_err(|error| anyhow::anyhow!("`{key}`: {error}"))
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
    Ok(match Named::of(name)? {
        Named::Folder(folder) => Origin::Folder(Paths::in_folder_with(&folder, weights)?),
        Named::Model(reference) => Origin::Hub(Box::new(fetch(&reference, weights, no_download)?)),
    })
}

/// Where the files of that model are.
pub(crate) fn paths(
    name: &Path,
    weights: Option<&Path>,
    no_download: bool,
) -> anyhow::Result<Paths> {
    Ok(match Named::of(name)? {
        Named::Folder(folder) => Paths::in_folder_with(&folder, weights)?,
        Named::Model(reference) => fetch(&reference, weights, no_download)?.paths,
    })
}

/// A model of the hub; says what was downloaded.
fn fetch(
    reference: &Reference,
    weights: Option<&Path>,
    no_download: bool,
) -> anyhow::Result<Snapshot> {
    let snapshot = hub::fetch(&of_hub(no_download)?, reference, weights).map_err(of_model)?;
    report_download(reference, &snapshot);
    Ok(snapshot)
}

/// What the environment and the options say of the hub.
pub(crate) fn of_hub(no_download: bool) -> Result<hub::Settings, HubError> {
    let settings = hub::Settings::from_environment()?;
    Ok(match no_download {
        true => settings.offline("--no-download"),
        false => settings,
    })
}

/// What is wrong with a model of the hub is said as of any other folder.
pub(crate) fn of_model(error: HubError) -> anyhow::Error {
    match error {
        HubError::Model(error) => anyhow::Error::from(*error),
        error => error.into(),
    }
}

pub(crate) fn report_download(reference: &Reference, snapshot: &Snapshot) {
    let Downloaded { files, bytes } = snapshot.downloaded;
    if files > 0 {
        let commit = &snapshot.source.commit;
        let megabytes = bytes as f64 / 1e6;
        eprintln!("{reference}: commit {commit}, downloaded {files} files, {megabytes:.1} MB");
    }
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
    if let Some(directory) = &arguments.directory {
        let there = std::env::set_current_dir(directory);
        there.with_context(|| format!("--directory {}", directory.display()))?;
    }
    Ok(config)
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

/// Says what was written.
pub(crate) fn report(built: &Built) -> anyhow::Result<()> {
    let manifest = &built.manifest;
    let model = manifest.model.as_ref().context("it holds no model")?;
    let (weights, pipeline) = (model.weights, &model.pipeline);
    let StoredWeights {
        min_cosine,
        mean_cosine,
        ..
    } = weights;
    let cosine = match min_cosine < 1.0 {
        true => format!(", cosine to f32 {mean_cosine:.5}, at worst {min_cosine:.5}"),
        false => String::new(),
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
        weights.encoding,
        built.length_bytes as f64 / 1e6,
    );
    Ok(())
}

/// Says what was written to whoever reads it with a program.
fn print_json(built: &Built) -> anyhow::Result<()> {
    let manifest = &built.manifest;
    let json = json!({
        "output": built.output,
        "name": manifest.name,
        "version": manifest.version,
        "task": manifest.model.as_ref().map(|it| it.task.name()),
        "bytes": built.length_bytes,
    });
    Ok(writeln!(io::stdout(), "{json}")?)
}

/// Says how it is started.
fn suggest(built: &Built) {
    let shown = built.output.display();
    let command = match built.kind {
        Kind::Bundle => format!("encoderfile run {shown}"),
        Kind::Native | Kind::Windows if !built.runs_here => return,
        Kind::Native if built.output.components().count() == 1 => format!("./{shown}"),
        Kind::Native | Kind::Windows => shown.to_string(),
        Kind::Wasm => format!("wasmtime run {shown}"),
        Kind::Component => format!("wasmtime run -S http {shown}"),
        Kind::Precompiled(form) => {
            eprintln!(
                "for wasmtime {WASMTIME_VERSION} on {HOST_TARGET}, on processors that have what this one has"
            );
            let http = match form {
                Form::Module => "",
                Form::Component => " -S http",
            };
            format!("wasmtime run --allow-precompiled{http} {shown}")
        }
        Kind::Image => {
            let name = oci::name(&built.manifest);
            format!("docker load -i {shown} && docker run --rm {name}")
        }
        Kind::Wheel => {
            eprintln!("try: pip install {shown}");
            return;
        }
    };
    eprintln!("try: {command} infer \"…\"");
}
