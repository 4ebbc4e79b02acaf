//! The `build` command: what the options and the config file mean together.

use crate::cli::{Build, ComputeArgument, TaskArgument, WeightsArgument};
use crate::runtimes::{warn, warn_of_version};
use anyhow::{Context, bail, ensure};
use clap::ValueEnum;
use encoderfile::manifest::{Compute, TruncationSide, TruncationStrategy, WeightsEncoding};
use encoderfile::source::Source;
use encoderfile::{Payload, manifest::Manifest};
use encoderfile_builder::assemble::{Assembled, Encoding, Identity, assemble};
use encoderfile_builder::base::{Base, Carried};
use encoderfile_builder::config_file::{ConfigFile, ModelFiles, ModelPath, TokenizerSection};
use encoderfile_builder::file::MappedFile;
use encoderfile_builder::folder::{self, Overrides, Paths};
use encoderfile_builder::graph::Graph;
use encoderfile_builder::upstream::{self, Upstream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// This machine's target: the one the tool itself was built for.
pub(crate) const HOST_TARGET: &str = env!("ENCODERFILE_HOST_TARGET");

/// A text of full length that takes longer is worth a line.
const NOTABLE: Duration = Duration::from_secs(1);

/// Where a model comes from.
enum Origin {
    Default,
    Encoderfile(PathBuf),
    Folder(Paths),
}

/// What the options and the config file mean together.
struct Plan {
    origin: Origin,
    target: String,
    base: Option<PathBuf>,
    output: Option<PathBuf>,
    name: Option<String>,
    version: Option<String>,
    overrides: Overrides,
    weights: Option<WeightsEncoding>,
    compute: Option<Compute>,
}

/// A model that is ready to be written.
enum Finished {
    /// Another encoderfile's payload.
    Verbatim(Box<Payload>),
    /// Made here.
    Assembled(Box<Assembled>),
}

impl Finished {
    fn manifest(&self) -> &Manifest {
        match self {
            Self::Verbatim(payload) => payload.manifest(),
            Self::Assembled(assembled) => assembled.manifest(),
        }
    }

    fn payload(&self) -> anyhow::Result<Box<dyn Source + '_>> {
        Ok(match self {
            Self::Verbatim(payload) => Box::new(payload.bytes()?),
            Self::Assembled(assembled) => Box::new(assembled.payload()?),
        })
    }
}

/// Builds and says what was built.
pub(crate) fn build(arguments: &Build) -> anyhow::Result<()> {
    let plan = Plan::new(arguments)?;
    let carried = Carried::open()?;
    let base = match &plan.base {
        Some(path) => Base::from_bytes(folder::read_file(path)?),
        None => carried.base(&plan.target)?,
    };
    let model = plan.finish(&carried)?;
    let manifest = model.manifest();
    let output = match &plan.output {
        Some(output) => output.clone(),
        None => default_output(&manifest.name, &base)?,
    };
    ensure!(
        !output.is_dir(),
        "{}: is a folder; name the file to write",
        output.display()
    );
    let payload = model.payload()?;
    base.write_with(&*payload, &output)
        .with_context(|| match &plan.base {
            Some(path) => format!("base program {}", path.display()),
            None => format!("base program for {}", plan.target),
        })?;
    report(&output, &base, manifest)?;
    if let Finished::Assembled(assembled) = &model
        && assembled.full_length() >= NOTABLE
    {
        let tokens = manifest
            .model
            .as_ref()
            .map_or(0, |model| model.pipeline.max_tokens);
        let seconds = assembled.full_length().as_secs_f64();
        eprintln!("a text of {tokens} tokens took {seconds:.1} s on this machine");
    }
    Ok(())
}

impl Origin {
    fn new(arguments: &Build, config: &mut ConfigFile) -> anyhow::Result<Self> {
        let weights_file = arguments.weights_file.as_deref();
        let weights_file = weights_file.or(config.weights_file.as_deref());
        Ok(
            match (&arguments.from, &arguments.model, config.path.take()) {
                (Some(file), ..) => Self::Encoderfile(file.clone()),
                (None, Some(folder), _) => {
                    Self::Folder(Paths::in_folder_with(folder, weights_file)?)
                }
                (None, None, Some(ModelPath::Folder(folder))) => {
                    Self::Folder(Paths::in_folder_with(&folder, weights_file)?)
                }
                (None, None, Some(ModelPath::Files(_))) if weights_file.is_some() => {
                    bail!(
                        "`weights_file` is a name in a model folder; here `model_weights_path` names the file"
                    )
                }
                (None, None, Some(ModelPath::Files(files))) => Self::Folder(paths_of(files)),
                (None, None, None) => match &arguments.config {
                    // A file that was meant to say it.
                    Some(file) => bail!(
                        "{}: `path` is missing: the model folder; or give --model DIR or --from FILE",
                        file.display()
                    ),
                    None => Self::Default,
                },
            },
        )
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

impl Plan {
    fn new(arguments: &Build) -> anyhow::Result<Self> {
        let mut config = read_config(arguments)?;
        let of_file = |error: anyhow::Error| match &arguments.config {
            Some(path) => error.context(path.display().to_string()),
            None => error,
        };
        let origin = Origin::new(arguments, &mut config)?;
        let task = match (arguments.task, &config.model_type) {
            (Some(task), _) => Some(task),
            (None, Some(name)) => {
                Some(choice::<TaskArgument>("model_type", name).map_err(of_file)?)
            }
            (None, None) => None,
        };
        let weights = match (arguments.weights, &config.weights) {
            (Some(weights), _) => Some(weights),
            (None, Some(name)) => {
                Some(choice::<WeightsArgument>("weights", name).map_err(of_file)?)
            }
            (None, None) => None,
        };
        let compute = match (arguments.compute, &config.compute) {
            (Some(compute), _) => Some(compute),
            (None, Some(name)) => {
                Some(choice::<ComputeArgument>("compute", name).map_err(of_file)?)
            }
            (None, None) => None,
        };
        let target = arguments.target.clone().or(config.target);
        Ok(Self {
            origin,
            target: target.unwrap_or_else(|| HOST_TARGET.into()),
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

    /// What is to be written.
    fn finish(&self, carried: &Carried) -> anyhow::Result<Finished> {
        match &self.origin {
            Origin::Default => self.verbatim(carried.default_model()?),
            Origin::Folder(paths) => {
                let assembled = self.assemble_folder(paths)?;
                Ok(Finished::Assembled(Box::new(assembled)))
            }
            Origin::Encoderfile(path) => {
                let name = path.display().to_string();
                let file = MappedFile::open(path).with_context(|| name.clone())?;
                let footer = upstream::footer(file.bytes());
                if footer.is_some_and(|it| it.format_version == upstream::FORMAT_VERSION) {
                    let upstream = Upstream::read(file.bytes()).with_context(|| name)?;
                    let assembled = self.assemble_upstream(path, upstream)?;
                    return Ok(Finished::Assembled(Box::new(assembled)));
                }
                let payload = Payload::open(Arc::new(file)).with_context(|| name.clone())?;
                self.verbatim(payload).with_context(|| name)
            }
        }
    }

    /// A finished payload is taken as it is: nothing about the model can be changed.
    fn verbatim(&self, payload: Payload) -> anyhow::Result<Finished> {
        let overrides = &self.overrides;
        ensure!(
            self.name.is_none()
                && self.version.is_none()
                && self.weights.is_none()
                && self.compute.is_none()
                && overrides.task.is_none()
                && overrides.max_length.is_none()
                && overrides.truncation_side.is_none()
                && overrides.truncation_strategy.is_none()
                && overrides.license.is_none(),
            "a finished encoderfile keeps its name, version, task, limits, licence, weights and arithmetic; build from the model folder to change them"
        );
        payload.verify()?;
        Ok(Finished::Verbatim(Box::new(payload)))
    }

    fn assemble_folder(&self, paths: &Paths) -> anyhow::Result<Assembled> {
        let model = folder::read(paths, &self.overrides)?;
        let graph = Graph::read(&paths.weights, &model)?;
        let folder = paths.folder.canonicalize();
        let folder = folder.unwrap_or_else(|_| paths.folder.clone());
        let folder_name = folder.file_name().unwrap_or_default().to_string_lossy();
        self.assemble(paths, model, &graph, &folder_name, "0.1.0")
    }

    fn assemble_upstream(&self, path: &Path, upstream: Upstream) -> anyhow::Result<Assembled> {
        let mut overrides = upstream.overrides.clone();
        if let Some(task) = self.overrides.task {
            overrides.task = Some(task);
        }
        overrides.max_length = self.overrides.max_length.or(overrides.max_length);
        overrides.truncation_side = self.overrides.truncation_side.or(overrides.truncation_side);
        let strategy = self.overrides.truncation_strategy;
        overrides.truncation_strategy = strategy.or(overrides.truncation_strategy);
        overrides.license.clone_from(&self.overrides.license);
        // The parts go through the same reader as any model folder.
        let folder = tempfile::tempdir()?;
        let paths = Paths {
            folder: folder.path().to_owned(),
            weights: folder.path().join("model.onnx"),
            config: folder.path().join("config.json"),
            tokenizer: folder.path().join("tokenizer.json"),
            tokenizer_config: folder.path().join("tokenizer_config.json"),
            tokenizer_stands_alone: true,
        };
        std::fs::write(&paths.weights, &upstream.weights)?;
        std::fs::write(&paths.config, &upstream.config_json)?;
        std::fs::write(&paths.tokenizer, &upstream.tokenizer_json)?;
        let model = folder::read(&paths, &overrides).with_context(|| path.display().to_string())?;
        let graph = Graph::read(&paths.weights, &model)?;
        let manifest = &upstream.manifest;
        self.assemble(&paths, model, &graph, &manifest.name, &manifest.version)
    }

    fn assemble(
        &self,
        paths: &Paths,
        model: folder::Model,
        graph: &Graph,
        name: &str,
        version: &str,
    ) -> anyhow::Result<Assembled> {
        let identity = Identity {
            name: self.name.clone().unwrap_or_else(|| name.into()),
            version: self.version.clone().unwrap_or_else(|| version.into()),
        };
        let encoding = Encoding {
            weights: self.weights.unwrap_or(WeightsEncoding::F32),
            compute: self.compute.unwrap_or(Compute::F32),
        };
        Ok(assemble(paths, model, graph, identity, encoding)?)
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

/// In the current folder, whatever the name: it may come from somebody else's file.
fn default_output(name: &str, base: &Base) -> anyhow::Result<PathBuf> {
    let extension = match base {
        Base::Bundle => "ef",
        Base::Native(_) => "encoderfile",
        Base::Wasm(_) => "ef.wasm",
    };
    let stem = Path::new(name).file_name().and_then(|stem| stem.to_str());
    let stem = stem.with_context(|| format!("the name {name:?} is no file name; say -o FILE"))?;
    Ok(PathBuf::from(format!("{stem}.{extension}")))
}

fn report(output: &Path, base: &Base, manifest: &Manifest) -> anyhow::Result<()> {
    let length = std::fs::metadata(output)?.len();
    let model = manifest.model.as_ref().context("it holds no model")?;
    let (weights, pipeline) = (model.weights, &model.pipeline);
    let cosine = if weights.min_cosine == 1.0 {
        String::new()
    } else {
        format!(", worst cosine to f32 {:.5}", weights.min_cosine)
    };
    let quantised = match weights.quantized_matrices {
        0 => String::new(),
        count => format!(" ({count} matrices in 8 bits as in the source)"),
    };
    let computed = match pipeline.compute {
        Compute::F32 => "",
        Compute::Int8 => ", computed in int8",
    };
    let shown = output.display();
    eprintln!(
        "{shown}: {}, {}, up to {} tokens ({}), weights {}{quantised}{computed}{cosine}, {:.1} MB",
        manifest.name,
        model.task.name(),
        pipeline.max_tokens,
        pipeline.max_tokens_source,
        weights.encoding.name(),
        length as f64 / 1e6,
    );
    let command = match base {
        Base::Bundle => format!("encoderfile run {shown}"),
        Base::Native(_) if output.components().count() == 1 => format!("./{shown}"),
        Base::Native(_) => shown.to_string(),
        Base::Wasm(_) => format!("wasmtime run {shown}"),
    };
    eprintln!("try: {command} infer \"…\"");
    Ok(())
}

/// The targets, for `version`.
pub(crate) fn targets(carried: &Carried) -> String {
    carried.targets().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_never_leaves_the_current_folder() {
        let output = |name| default_output(name, &Base::Bundle);
        assert_eq!(output("org/minilm").unwrap(), Path::new("minilm.ef"));
        assert_eq!(output("../../etc/x").unwrap(), Path::new("x.ef"));
        assert_eq!(output("/tmp/x").unwrap(), Path::new("x.ef"));
        for name in ["", "..", "/"] {
            assert!(output(name).is_err(), "{name:?}");
        }
    }
}
