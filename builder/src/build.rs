//! `build`: a model and settings in, one file out.

mod identity;

use crate::assemble::{Assembled, assemble};
use crate::base::{Base, is_pe};
use crate::carried::Carried;
use crate::error::BuildError;
use crate::fingerprint::Material;
use crate::folder::{self, Overrides, Paths};
use crate::graph::Graph;
use crate::hub;
use crate::oci::Platform;
use crate::precision::Precision;
use crate::precompiled::{Form, PrecompileError};
use crate::runtimes::Runtimes;
use crate::snapshot::SnapshotError;
use crate::target::{BUNDLE_TARGET, COMPONENT_TARGET, HOST_TARGET, Target, WHEEL_TARGET};
use crate::upstream::{self, Upstream};
use crate::wasm_payload;
use crate::wheel::WheelName;
use anyhow::{Context, ensure};
use encoderfile::file::MappedFile;
use encoderfile::manifest::Manifest;
use encoderfile::{Encoder, Executor, Payload, Source, golden, panics};
pub(crate) use identity::FIRST_VERSION;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Where a model comes from.
#[derive(Clone, Debug, Default)]
pub enum Origin {
    /// This tool.
    #[default]
    Default,
    /// Another encoderfile: ours of any kind, or upstream's.
    Encoderfile(PathBuf),
    /// A model folder in Hugging Face layout.
    Folder(Paths),
    /// A model of the hub, which has been fetched.
    Hub(Box<hub::Snapshot>),
}

/// What is built. `None` is what the model's folder or file says, or else the default.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// The model.
    pub origin: Origin,
    /// A target, [`BUNDLE_TARGET`], [`WHEEL_TARGET`] or that of an image, by its name of
    /// [`Platform::of_target`] [default: [`HOST_TARGET`]].
    pub target: Option<String>,
    /// A base program instead of the one that is carried.
    pub base: Option<PathBuf>,
    /// Whether a module or a component is compiled ahead for wasmtime on this machine.
    pub precompile: bool,
    /// Whether a component has the memory of the loaded model.
    pub snapshot: bool,
    /// Where to write [default: a name in the current folder].
    pub output: Option<PathBuf>,
    /// The `model_id` of results.
    pub name: Option<String>,
    /// The caller's version of the model.
    pub version: Option<String>,
    /// What else the caller knows better than the folder.
    pub overrides: Overrides,
    /// At what precision the model is stored and computed. The size is that of the whole file.
    pub precision: Precision,
}

/// What was written.
#[derive(Clone, Debug)]
pub struct Built {
    /// Where.
    pub output: PathBuf,
    /// What can run it.
    pub kind: Kind,
    /// Whether the system of this machine can run it.
    pub runs_here: bool,
    /// Of the file.
    pub length_bytes: u64,
    /// What it says of itself.
    pub manifest: Manifest,
    /// How long a text of full length took to compute on all cores, where the model was
    /// made here.
    pub full_length: Option<Duration>,
}

/// What a file can be run by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Another encoderfile's program.
    Bundle,
    /// The system.
    Native,
    /// Windows, which knows a program by its name.
    Windows,
    /// A WebAssembly host.
    Wasm,
    /// A host of WebAssembly components.
    Component,
    /// The one version of wasmtime, on machines like this one, that it was compiled for.
    Precompiled(Form),
    /// A container engine.
    Image,
    /// Python, once pip has installed it.
    Wheel,
}

impl Kind {
    fn of(base: &Base) -> Self {
        match base {
            Base::Bundle => Self::Bundle,
            Base::Native(program) if is_pe(program) => Self::Windows,
            Base::Native(_) | Base::MachO(_) => Self::Native,
            Base::Wasm(base) => match wasm_payload::is_module(base.program()) {
                true => Self::Wasm,
                false => Self::Component,
            },
            Base::Precompiled(module) => Self::Precompiled(module.form()),
            Base::Image(_) => Self::Image,
            Base::Wheel => Self::Wheel,
        }
    }

    /// What runs files for a target.
    pub fn of_target(target: &str) -> Self {
        match target {
            BUNDLE_TARGET => return Self::Bundle,
            WHEEL_TARGET => return Self::Wheel,
            COMPONENT_TARGET => return Self::Component,
            _ => {}
        }
        if Platform::of_target(target).is_some() {
            return Self::Image;
        }
        match Target::find(target).map_or("", Target::suffix) {
            ".wasm" => Self::Wasm,
            ".exe" => Self::Windows,
            _ => Self::Native,
        }
    }

    fn extension(self) -> &'static str {
        match self {
            Self::Bundle => "ef",
            Self::Native => "encoderfile",
            Self::Windows => "exe",
            Self::Wasm => "ef.wasm",
            Self::Component => "component.wasm",
            Self::Precompiled(_) => "cwasm",
            Self::Image => "tar",
            Self::Wheel => "whl",
        }
    }
}

/// A model that is ready to be written, behind any base program.
pub struct Prepared(Finished);

enum Finished {
    /// Another encoderfile's payload.
    Verbatim(Box<Payload>),
    /// Made here.
    Assembled(Box<Assembled>),
}

/// Builds one file, which is there when it is complete.
///
/// `runtimes` has the base programs, and carries the default model.
///
/// # Errors
/// [`BuildError`](crate::BuildError) for a model that cannot be built, with the file and
/// key at fault; [`RuntimeError`](crate::runtimes::RuntimeError) for a base program that cannot
/// be had; [`ContainerError`](encoderfile::container::ContainerError) for a file that
/// is no valid encoderfile; [`SnapshotError`] for a wasm base that
/// cannot carry a payload or load its model; [`PrecompileError`] for one that cannot be compiled ahead; [`std::io::Error`] for what the system says; and for settings
/// that contradict one another or the file, and files of upstream's format, a message
/// alone. None of them leaves a file behind.
pub fn build(settings: &Settings, runtimes: &Runtimes) -> anyhow::Result<Built> {
    let target = settings.target.as_deref();
    let (base, of_base) = match &settings.base {
        Some(path) => (
            Base::of_file(path, target)?,
            format!("base program {}", path.display()),
        ),
        None => {
            let target = target.unwrap_or(HOST_TARGET);
            settings.check_is_wasm(target)?;
            let base = Base::of_target(target, runtimes)?;
            (base, format!("base program for {target}"))
        }
    };
    let base = match settings.snapshot {
        true => base.snapshot()?,
        false => base,
    };
    let base = match settings.precompile {
        true => base.precompiled()?,
        false => base,
    };
    let prepared = prepare(&settings.beside(&base)?, runtimes.carried())?;
    let output = match &settings.output {
        Some(output) => output.clone(),
        None => {
            let Manifest { name, version, .. } = prepared.manifest();
            default_output(name, version, Kind::of(&base))?
        }
    };
    let written = prepared.write(&base, &output);
    written.map_err(|error| match is_of_base(&error) {
        true => error.context(of_base),
        false => error,
    })
}

/// Whether it is the base program of which no file can be written.
fn is_of_base(error: &anyhow::Error) -> bool {
    let of_snapshot = |it: &SnapshotError| !matches!(it, SnapshotError::Io(_));
    if let Some(error) = error.downcast_ref::<PrecompileError>() {
        return match error {
            PrecompileError::Io(_) => false,
            PrecompileError::Base(error) => of_snapshot(error),
            _ => true,
        };
    }
    error.downcast_ref().is_some_and(of_snapshot)
}

/// Makes a model ready to be written for any number of targets: all of a build but the base
/// program and the file.
///
/// # Errors
/// As of [`build`].
pub fn prepare(settings: &Settings, carried: &Carried) -> anyhow::Result<Prepared> {
    panics::catch(|| settings.finish(carried).map(Prepared))?
}

impl Prepared {
    /// What the file will say of itself; artifacts are filled in when it is written.
    pub fn manifest(&self) -> &Manifest {
        match &self.0 {
            Finished::Verbatim(payload) => payload.manifest(),
            Finished::Assembled(assembled) => assembled.manifest(),
        }
    }

    fn payload(&self) -> anyhow::Result<Box<dyn Source + '_>> {
        Ok(match &self.0 {
            Finished::Verbatim(payload) => Box::new(payload.bytes()?),
            Finished::Assembled(assembled) => Box::new(assembled.payload()?),
        })
    }

    /// Writes it behind a base program.
    ///
    /// # Errors
    /// As of [`build`]; no file is left behind.
    pub fn write(&self, base: &Base, output: &Path) -> anyhow::Result<Built> {
        panics::catch(|| self.write_file(base, output))?
    }

    fn write_file(&self, base: &Base, output: &Path) -> anyhow::Result<Built> {
        ensure!(
            !output.is_dir(),
            "{}: is a folder; name the file to write",
            output.display()
        );
        if matches!(base, Base::Wheel) {
            WheelName::of(self.manifest())?.check(output)?;
        }
        base.write_with(self.manifest(), &*self.payload()?, output)?;
        Ok(Built {
            length_bytes: std::fs::metadata(output)?.len(),
            output: output.to_owned(),
            kind: Kind::of(base),
            runs_here: base.runs_here(),
            manifest: self.manifest().clone(),
            full_length: match &self.0 {
                Finished::Assembled(assembled) => Some(assembled.full_length()),
                Finished::Verbatim(_) => None,
            },
        })
    }
}

impl Settings {
    /// Refuses a target of which there is no snapshot, or that nothing is compiled ahead for, before
    /// anything is downloaded.
    fn check_is_wasm(&self, target: &str) -> anyhow::Result<()> {
        let kind = Kind::of_target(target);
        if !(self.snapshot || self.precompile) {
            return Ok(());
        }
        if !matches!(kind, Kind::Bundle | Kind::Wheel | Kind::Image) {
            Target::find(target)?;
        }
        ensure!(
            !self.snapshot || kind == Kind::Component,
            SnapshotError::NotComponent
        );
        ensure!(
            matches!(kind, Kind::Wasm | Kind::Component),
            PrecompileError::NotWasm
        );
        Ok(())
    }

    /// What is to be written.
    fn finish(&self, carried: &Carried) -> anyhow::Result<Finished> {
        match &self.origin {
            Origin::Default => self.verbatim(carried.default_model()?),
            Origin::Folder(paths) => {
                let folder = paths.folder.canonicalize();
                let folder = folder.unwrap_or_else(|_| paths.folder.clone());
                let name = folder.file_name().unwrap_or_default().to_string_lossy();
                let assembled = self.assemble_folder(paths, &name, Material::Files(paths))?;
                Ok(Finished::Assembled(Box::new(assembled)))
            }
            Origin::Hub(snapshot) => {
                let material = Material::Commit {
                    source: &snapshot.source,
                    weights_file: snapshot.weights_file.as_deref(),
                };
                let assembled = self.assemble_folder(&snapshot.paths, &snapshot.name, material)?;
                Ok(Finished::Assembled(Box::new(assembled)))
            }
            Origin::Encoderfile(path) => {
                let name = path.display().to_string();
                let file = MappedFile::open(path).with_context(|| name.clone())?;
                if upstream::is_format_1(file.bytes()) {
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
                && self.precision == Precision::default()
                && overrides.task.is_none()
                && overrides.max_length.is_none()
                && overrides.truncation_side.is_none()
                && overrides.truncation_strategy.is_none()
                && overrides.license.is_none(),
            "a finished encoderfile keeps its name, version, task, limits, licence, weights and arithmetic; build from the model folder to change them"
        );
        payload.verify_with(&Executor::AllCores)?;
        check_results(&payload)?;
        Ok(Finished::Verbatim(Box::new(payload)))
    }

    fn assemble_folder(
        &self,
        paths: &Paths,
        name: &str,
        material: Material<'_>,
    ) -> anyhow::Result<Assembled> {
        let model = folder::read(paths, &self.overrides)?;
        let graph = Graph::read(&paths.weights, &model)?;
        let identity = self.identity(name, FIRST_VERSION, material)?;
        Ok(assemble(paths, model, &graph, identity, &self.precision)?)
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
        let material = Material::Files(&paths);
        let merged = Self {
            overrides,
            ..self.clone()
        };
        let identity = merged.identity(&manifest.name, &manifest.version, material)?;
        Ok(assemble(&paths, model, &graph, identity, &self.precision)?)
    }

    /// The same for a file with that base program, which is a part of a size that is asked for.
    ///
    /// # Errors
    /// Those of [`Base::length_with`] for a payload of that size.
    pub fn beside(&self, base: &Base) -> anyhow::Result<Self> {
        let mut settings = self.clone();
        if let Some(size) = &mut settings.precision.target_size {
            // A signature is longer the longer the payload is, which is at most this.
            size.base = base.length_with(size.bytes)?.saturating_sub(size.bytes);
        }
        Ok(settings)
    }
}

/// Another version of this tool may have built the file: its model has to load, and to give
/// the results that were stored when it was built.
fn check_results(payload: &Payload) -> Result<(), BuildError> {
    let report = Encoder::load(payload).and_then(|encoder| golden::self_test(payload, &encoder));
    match report.map_err(|error| BuildError::Finished(error.into()))? {
        report if report.passed() => Ok(()),
        report => Err(BuildError::OtherResults(report)),
    }
}

/// What a file is called that nobody has named: a name in the current folder, whatever the
/// model's is, since it may come from somebody else's file.
///
/// # Errors
/// A message alone for a name of which no file can be called, and
/// [`NameError`](crate::wheel::NameError) for one of which no wheel can.
pub fn default_output(name: &str, version: &str, kind: Kind) -> anyhow::Result<PathBuf> {
    if kind == Kind::Wheel {
        return Ok(WheelName::new(name, version)?.file());
    }
    let stem = Path::new(name).file_name().and_then(|stem| stem.to_str());
    let stem = stem.with_context(|| format!("the name {name:?} is no file name; say -o FILE"))?;
    Ok(PathBuf::from(format!("{stem}.{}", kind.extension())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_never_leaves_the_current_folder() {
        let output = |name| default_output(name, "0.1.0", Kind::Bundle);
        assert_eq!(output("org/minilm").unwrap(), Path::new("minilm.ef"));
        assert_eq!(output("../../etc/x").unwrap(), Path::new("x.ef"));
        assert_eq!(output("/tmp/x").unwrap(), Path::new("x.ef"));
        for name in ["", "..", "/"] {
            assert!(output(name).is_err(), "{name:?}");
        }
    }
}
