//! `models.yaml`: many models, and what each is built into. Unknown keys are refused by name.

mod quantization;
mod task;

use crate::build::{FIRST_VERSION, Kind, Settings, default_output};
use crate::config_file::{TokenizerSection, problem};
use crate::folder::Overrides;
use crate::hub::{NoReference, Reference};
use crate::precision::Precision;
use crate::target::HOST_TARGET;
use crate::wheel::NameError;
use anyhow::{Context, anyhow, bail, ensure};
use encoderfile::manifest::Compute;
use schemars::JsonSchema;
use serde::de::value::SeqAccessDeserializer;
use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};

pub use quantization::{Dtype, Quantization};
pub use task::ModelTask;

/// Models, each built for one target or several.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "models.yaml")]
pub struct ModelsFile {
    /// The models, in the order in which they are built.
    #[schemars(length(min = 1))]
    pub models: Vec<ModelEntry>,
}

/// A model, and what it is built into.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "model", transform = crate::schema::of_entry)]
pub struct ModelEntry {
    /// The `model_id` of results, and what the files are called: NAME.encoderfile, NAME.ef.wasm,
    /// NAME.component.wasm or NAME.ef. No other model has it.
    #[schemars(length(min = 1))]
    pub name: String,
    /// Your version of the model [default: 0.1.0].
    pub version: Option<String>,
    /// A model of the Hugging Face Hub: NAME or ORG/NAME, perhaps with @REVISION.
    pub hf_name: Option<String>,
    /// A model folder, instead of `hf_name`.
    pub path: Option<PathBuf>,
    /// Which file of weights of it, ONNX or a checkpoint [default: as `build` chooses].
    pub weights_file: Option<PathBuf>,
    /// What the model computes, by a name of this program or by the hub's [default: what the
    /// model's files say].
    pub task: Option<ModelTask>,
    /// What to build for: `native` (this machine), a target triple, `wasm32-wasip1`, `bundle` or `oci`;
    /// one or a list [default: native].
    #[serde(default, alias = "target")]
    #[schemars(with = "OneOrMany")]
    pub targets: Targets,
    /// How the large matrices are stored [default: as they are].
    #[serde(default)]
    pub quantization: Quantization,
    /// What products with large matrices are computed in [default: f32].
    #[schemars(with = "Option<crate::schema::ComputeName>")]
    pub compute: Option<String>,
    /// Tokenizer settings, as in encoderfile.yml.
    #[serde(default)]
    pub tokenizer: TokenizerSection,
}

/// Where a model is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place<'a> {
    /// A folder.
    Folder(&'a Path),
    /// A model of the hub.
    Hub(Reference),
}

impl ModelsFile {
    /// Reads a file.
    ///
    /// # Errors
    /// [`std::io::Error`] for what the system says, and a message alone, with the key or model at
    /// fault, for what is no such YAML or contradicts itself. Both name the file.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let name = path.display().to_string();
        let text = std::fs::read_to_string(path).with_context(|| name.clone())?;
        Self::parse(&text).context(name)
    }

    fn parse(text: &str) -> anyhow::Result<Self> {
        let file: Self =
            serde_saphyr::from_str(text).map_err(|error| anyhow!(problem(&error.to_string())))?;
        ensure!(!file.models.is_empty(), "`models` is empty");
        for model in &file.models {
            let name = &model.name;
            ensure!(!name.is_empty(), "`name` of a model is empty");
            let of_name = file.models.iter().filter(|it| it.name == *name);
            ensure!(of_name.count() == 1, "two models are called `{name}`");
            model.check().with_context(|| format!("model `{name}`"))?;
        }
        file.check_outputs()?;
        Ok(file)
    }

    /// The models of those names, or all, in the order of the file.
    ///
    /// # Errors
    /// A message alone for a name of none, with the names that there are.
    pub fn choose(&self, names: &[String]) -> anyhow::Result<Vec<&ModelEntry>> {
        let known: Vec<&str> = self.models.iter().map(|it| &*it.name).collect();
        if let Some(unknown) = names.iter().find(|name| !known.contains(&&***name)) {
            bail!(
                "no model is called `{unknown}`; there are {}",
                known.join(", ")
            );
        }
        let is_chosen = |model: &&ModelEntry| names.is_empty() || names.contains(&model.name);
        Ok(self.models.iter().filter(is_chosen).collect())
    }

    /// Refuses a file that two builds would write.
    fn check_outputs(&self) -> anyhow::Result<()> {
        let mut writers = HashMap::new();
        for model in &self.models {
            for (target, output) in model.outputs()? {
                let (name, shown) = (&model.name, output.display().to_string());
                match writers.insert(output, (name, target)) {
                    Some((other, _)) if other != name => bail!(
                        "models `{other}` and `{name}` would both write {shown}: give one another `name`"
                    ),
                    Some((_, other)) => bail!(
                        "model `{name}`: `targets`: {other} and {target} would both write {shown}"
                    ),
                    None => {}
                }
            }
        }
        Ok(())
    }
}

impl ModelEntry {
    fn check(&self) -> anyhow::Result<()> {
        self.place()?;
        self.tokenizer.check()?;
        self.settings().map(drop)
    }

    /// What is asked for beside the model and the targets.
    ///
    /// # Errors
    /// A message alone, with the key at fault.
    pub fn settings(&self) -> anyhow::Result<Settings> {
        Ok(Settings {
            name: Some(self.name.clone()),
            version: self.version.clone(),
            overrides: Overrides {
                task: self.task.map(ModelTask::task),
                tasks_as_stated: self.task.map(ModelTask::as_stated).unwrap_or_default(),
                max_length: self.tokenizer.max_length,
                truncation_side: self.tokenizer.truncation_side()?,
                truncation_strategy: self.tokenizer.truncation_strategy()?,
                license: None,
            },
            precision: Precision {
                compute: self.compute()?,
                ..self.quantization.precision()?
            },
            ..Settings::default()
        })
    }

    fn compute(&self) -> anyhow::Result<Option<Compute>> {
        let Some(name) = &self.compute else {
            return Ok(None);
        };
        let found = Compute::ALL.iter().find(|it| it.name() == name);
        found.copied().map(Some).with_context(|| {
            let known: Vec<&str> = Compute::ALL.iter().map(|it| it.name()).collect();
            format!("`compute`: {name:?}; expected one of {}", known.join(", "))
        })
    }

    /// Where it is.
    ///
    /// # Errors
    /// A message alone where it is in no place, or in two, or the name is none of the hub's.
    pub fn place(&self) -> anyhow::Result<Place<'_>> {
        match (&self.hf_name, &self.path) {
            (Some(name), None) => name.parse().map(Place::Hub).map_err(|NoReference| {
                anyhow!("`hf_name`: {name:?} is no model of the hub: NAME or ORG/NAME, perhaps with @REVISION")
            }),
            (None, Some(path)) => Ok(Place::Folder(path)),
            (None, None) => bail!(
                "neither `hf_name` nor `path`: say which model of the hub, or which folder"
            ),
            (Some(_), Some(_)) => bail!("both `hf_name` and `path`: a model is in one place"),
        }
    }

    /// Each target, and the file that is written for it.
    ///
    /// # Errors
    /// A message alone for a name of which no file can be called.
    pub fn outputs(&self) -> anyhow::Result<Vec<(&str, PathBuf)>> {
        let targets = self.targets.0.iter().map(|target| match &**target {
            NATIVE => HOST_TARGET,
            target => target,
        });
        let outputs = targets.map(|target| {
            let version = self.version.as_deref().unwrap_or(FIRST_VERSION);
            let output = default_output(&self.name, version, Kind::of_target(target));
            let output = output.map_err(|error| match error.downcast::<NameError>() {
                Ok(error) => anyhow::Error::from(error).context(format!("model `{}`", self.name)),
                Err(_) => anyhow!("model `{}`: no file can be called that", self.name),
            });
            Ok((target, output?))
        });
        outputs.collect()
    }
}

/// This machine's target, in a file that is for several.
const NATIVE: &str = "native";

/// What a model is built for.
#[derive(Debug)]
pub struct Targets(Vec<String>);

/// The two ways to write targets.
#[derive(JsonSchema)]
#[schemars(untagged)]
#[expect(
    dead_code,
    reason = "of the schema alone: a visitor reads it, whose errors name the key"
)]
enum OneOrMany {
    /// One.
    One(String),
    /// Several.
    Many(#[schemars(length(min = 1))] Vec<String>),
}

impl Default for Targets {
    fn default() -> Self {
        Self(vec![NATIVE.into()])
    }
}

impl<'de> Deserialize<'de> for Targets {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TargetsVisitor;

        impl<'de> Visitor<'de> for TargetsVisitor {
            type Value = Targets;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a target or a list of targets")
            }

            fn visit_str<E: Error>(self, target: &str) -> Result<Targets, E> {
                Ok(Targets(vec![target.to_owned()]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Targets, A::Error> {
                let targets = Vec::deserialize(SeqAccessDeserializer::new(list))?;
                match targets.is_empty() {
                    true => Err(A::Error::custom("`targets` is an empty list")),
                    false => Ok(Targets(targets)),
                }
            }
        }

        deserializer.deserialize_any(TargetsVisitor)
    }
}

#[cfg(test)]
mod tests;
