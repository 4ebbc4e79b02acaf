//! `encoderfile.yml`: upstream's keys, and those we add. Unknown keys are
//! refused by name.

use anyhow::{Context, bail, ensure};
use encoderfile::manifest::{TruncationSide, TruncationStrategy};
use schemars::JsonSchema;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use std::fmt;
use std::path::{Path, PathBuf};

/// Settings of one build.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "encoderfile.yml")]
pub(crate) struct Document {
    /// The settings.
    encoderfile: ConfigFile,
}

/// What is under `encoderfile:`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "encoderfile")]
pub struct ConfigFile {
    /// The `model_id` of results.
    #[schemars(length(min = 1))]
    pub name: Option<String>,
    /// The caller's version of the model.
    pub version: Option<String>,
    /// A folder, a model of the hub, or each file.
    pub path: Option<ModelPath>,
    /// The task.
    #[schemars(with = "Option<crate::schema::TaskName>")]
    pub model_type: Option<String>,
    /// Where to write.
    pub output_path: Option<PathBuf>,
    /// Upstream keeps downloaded base programs there; ours are in the tool.
    pub cache_dir: Option<PathBuf>,
    /// A base program of one's own.
    pub base_binary_path: Option<PathBuf>,
    /// A Lua script: refused.
    #[schemars(skip)]
    pub transform: Option<serde_json::Value>,
    /// Libraries for the script.
    pub lua_libs: Option<serde_json::Value>,
    /// Whether to try the script: nothing to try.
    pub validate_transform: Option<bool>,
    /// What to build for.
    pub target: Option<String>,
    /// Tokenizer settings.
    #[serde(default)]
    pub tokenizer: TokenizerSection,
    /// Ours: how the large matrices are stored.
    #[schemars(with = "Option<crate::schema::WeightsName>")]
    pub weights: Option<String>,
    /// Ours: others for some of them, `PATTERN=ENCODING` each.
    #[serde(default)]
    pub weights_rules: Vec<String>,
    /// Ours: how large the file may be.
    pub target_size: Option<String>,
    /// Ours: the smallest cosine to float32 that is accepted.
    pub min_cosine: Option<f32>,
    /// Ours: a file of calibration texts.
    pub calibration: Option<PathBuf>,
    /// Ours: what products with large matrices are computed in.
    #[schemars(with = "Option<crate::schema::ComputeName>")]
    pub compute: Option<String>,
    /// Ours: which file of weights of the folder, ONNX or safetensors.
    pub weights_file: Option<PathBuf>,
}

/// Where the model is.
#[derive(Debug, JsonSchema)]
#[schemars(untagged)]
pub enum ModelPath {
    /// A folder, or a model of the hub.
    Folder(PathBuf),
    /// Each file.
    Files(ModelFiles),
}

/// By hand, so that an unknown key of the files is named.
impl<'de> Deserialize<'de> for ModelPath {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct PathVisitor;

        impl<'de> Visitor<'de> for PathVisitor {
            type Value = ModelPath;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(
                    "a folder, a model of the hub, or `model_config_path` and the other files",
                )
            }

            fn visit_str<E: Error>(self, path: &str) -> Result<ModelPath, E> {
                Ok(ModelPath::Folder(path.into()))
            }

            fn visit_map<A: MapAccess<'de>>(self, files: A) -> Result<ModelPath, A::Error> {
                let files = ModelFiles::deserialize(MapAccessDeserializer::new(files))?;
                Ok(ModelPath::Files(files))
            }
        }

        deserializer.deserialize_any(PathVisitor)
    }
}

/// Where each file of a model is.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ModelFiles {
    /// config.json.
    pub model_config_path: PathBuf,
    /// The ONNX file.
    pub model_weights_path: PathBuf,
    /// tokenizer.json.
    pub tokenizer_path: PathBuf,
    /// tokenizer_config.json.
    pub tokenizer_config_path: Option<PathBuf>,
    /// preprocessor_config.json, of models of images: refused.
    #[schemars(skip)]
    pub preprocessor_config_path: Option<PathBuf>,
}

/// Tokenizer settings.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenizerSection {
    /// How batches are padded: ours never are.
    pub pad_strategy: Option<serde_json::Value>,
    /// Truncation side: `left` or `right`.
    #[schemars(with = "Option<crate::schema::TruncationSideName>")]
    pub truncation_side: Option<String>,
    /// Truncation strategy: `longest_first`, `only_first` or `only_second`.
    #[schemars(with = "Option<crate::schema::TruncationStrategyName>")]
    pub truncation_strategy: Option<String>,
    /// Maximum sequence length in tokens.
    #[schemars(range(min = 1))]
    pub max_length: Option<u32>,
    /// Overlap, in tokens, of windows over a text beyond the maximum sequence length: 0, since
    /// `infer --stride` says it.
    #[schemars(range(max = 0))]
    pub stride: Option<u32>,
}

impl ConfigFile {
    /// Reads a file.
    ///
    /// # Errors
    /// [`std::io::Error`] for what the system says, and a message alone, with the key at
    /// fault, for what is no such YAML or asks for what is not supported. Both name the file.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let name = path.display().to_string();
        let text = std::fs::read_to_string(path).with_context(|| name.clone())?;
        Self::parse(&text).context(name)
    }

    fn parse(text: &str) -> anyhow::Result<Self> {
        let document: Document = serde_saphyr::from_str(text)
            .map_err(|error| anyhow::anyhow!(problem(&error.to_string())))?;
        let config = document.encoderfile;
        ensure!(
            config.transform.is_none(),
            "`transform`: Lua scripts are not supported; pooling and normalisation come from the model folder"
        );
        if let Some(ModelPath::Files(files)) = &config.path {
            ensure!(
                files.preprocessor_config_path.is_none(),
                "`path.preprocessor_config_path`: models of images are not supported, only encoders of texts"
            );
        }
        ensure!(
            config.name.as_deref() != Some(""),
            "`name` is empty: it is the `model_id` of every result"
        );
        config.tokenizer.check()?;
        Ok(config)
    }
}

impl TokenizerSection {
    /// What is in it and means nothing here, as a line.
    pub fn without_effect(&self) -> Option<String> {
        let strategy = self.pad_strategy.as_ref().filter(|it| !it.is_null());
        strategy.map(|_| {
            "`tokenizer.pad_strategy` has no effect: every text is computed by itself, and none is padded".to_owned()
        })
    }

    /// The truncation side, if it says one.
    ///
    /// # Errors
    /// A message alone for a value that is none.
    pub fn truncation_side(&self) -> anyhow::Result<Option<TruncationSide>> {
        Ok(match self.truncation_side.as_deref() {
            None => None,
            Some("left") => Some(TruncationSide::Left),
            Some("right") => Some(TruncationSide::Right),
            Some(other) => bail!("`tokenizer.truncation_side`: {other:?}; expected left or right"),
        })
    }

    /// The truncation strategy, if it says one.
    ///
    /// # Errors
    /// A message alone for a value that is none.
    pub fn truncation_strategy(&self) -> anyhow::Result<Option<TruncationStrategy>> {
        Ok(match self.truncation_strategy.as_deref() {
            None => None,
            Some("longest_first") => Some(TruncationStrategy::LongestFirst),
            Some("only_first") => Some(TruncationStrategy::OnlyFirst),
            Some("only_second") => Some(TruncationStrategy::OnlySecond),
            Some(other) => bail!(
                "`tokenizer.truncation_strategy`: {other:?}; expected longest_first, only_first or only_second"
            ),
        })
    }

    /// Refuses what no build can follow.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        ensure!(self.max_length != Some(0), "`tokenizer.max_length` is 0");
        self.truncation_side()?;
        self.truncation_strategy()?;
        if let Some(stride) = self.stride.filter(|stride| *stride > 0) {
            bail!(
                "`tokenizer.stride`: {stride} is not supported; say --stride {stride} to `infer`"
            );
        }
        Ok(())
    }
}

impl ConfigFile {
    /// What is in it and means nothing here, a line each.
    pub fn without_effect(&self) -> Vec<String> {
        let keys = [
            (
                "lua_libs",
                self.lua_libs.as_ref().is_some_and(|it| !it.is_null()),
                "no script is run",
            ),
            (
                "validate_transform",
                self.validate_transform == Some(true),
                "no script is run",
            ),
        ];
        let given = keys.into_iter().filter(|(_, is_given, _)| *is_given);
        let lines = given.map(|(key, _, why)| format!("`{key}` has no effect: {why}"));
        lines.chain(self.tokenizer.without_effect()).collect()
    }
}

/// What of the parser's message is for whoever wrote the file: it draws the place on
/// further lines, and says which of its functions would take such a file.
pub(crate) fn problem(message: &str) -> String {
    let line = message.lines().next().unwrap_or_default();
    let line = line.trim_start_matches("error: ");
    let advice = [", set DuplicateKeyPolicy", "; use from_str"];
    let ends = advice.into_iter().filter_map(|it| line.find(it));
    line[..ends.min().unwrap_or(line.len())].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn upstream_keys_are_read() {
        let config = ConfigFile::parse(
            "encoderfile:\n  name: minilm\n  version: 0.2.0\n  path: models/minilm\n  \
             model_type: sentence_embedding\n  output_path: out.encoderfile\n  \
             cache_dir: .cache\n  validate_transform: false\n  tokenizer:\n    \
             pad_strategy: batch_longest\n    truncation_side: left\n    max_length: 128\n",
        )
        .unwrap();
        assert_eq!(config.name.as_deref(), Some("minilm"));
        assert_eq!(config.version.as_deref(), Some("0.2.0"));
        assert!(matches!(&config.path, Some(ModelPath::Folder(path)) if path.ends_with("minilm")));
        assert_eq!(config.tokenizer.max_length, Some(128));
        let without_effect = config.without_effect().join("\n");
        assert!(
            without_effect.contains("`tokenizer.pad_strategy`"),
            "{without_effect}"
        );
        assert_eq!(config.cache_dir.as_deref(), Some(Path::new(".cache")));
        assert!(!without_effect.contains("transform"), "{without_effect}");
    }

    #[test]
    fn files_are_read_one_by_one() {
        let config = ConfigFile::parse(
            "encoderfile:\n  path:\n    model_config_path: c\n    model_weights_path: w\n    \
             tokenizer_path: t\n",
        )
        .unwrap();
        assert!(matches!(config.path, Some(ModelPath::Files(files))
            if files.tokenizer_config_path.is_none() && files.model_weights_path == Path::new("w")));
    }

    #[test]
    fn a_model_of_images_is_refused_by_name() {
        let files = "encoderfile:\n  path:\n    model_config_path: c\n    model_weights_path: w\n    \
             tokenizer_path: t\n    preprocessor_config_path: p\n";
        let error = ConfigFile::parse(files).unwrap_err().to_string();
        assert!(error.contains("preprocessor_config_path"), "{error}");
        assert!(error.contains("images"), "{error}");
    }

    #[test]
    fn unknown_keys_are_named() {
        let unknown = [
            ("encoderfile:\n  nmae: x\n", "nmae"),
            (
                "encoderfile:\n  tokenizer:\n    maxlength: 1\n",
                "maxlength",
            ),
            ("encoderfle:\n  name: x\n", "encoderfle"),
            ("encoderfile:\n  path:\n    weights: x\n", "weights"),
        ];
        for (text, key) in unknown {
            let message = format!("{:#}", ConfigFile::parse(text).unwrap_err());
            assert!(message.contains(key), "{message}");
            assert!(!message.contains('\n'), "{message}");
        }
    }

    #[test]
    fn what_is_wrong_is_said_in_words_of_the_file() {
        let wrong = [
            (
                "encoderfile:\n  path: a\n  path: b\n",
                "duplicate mapping key: path",
            ),
            (
                "encoderfile:\n  path: a\n---\nx: 1\n",
                "multiple YAML documents detected",
            ),
            (
                "encoderfile:\n  name: ''\n",
                "`name` is empty: it is the `model_id` of every result",
            ),
            (
                "encoderfile:\n  tokenizer:\n    max_length: 0\n",
                "`tokenizer.max_length` is 0",
            ),
        ];
        for (text, message) in wrong {
            let error = format!("{:#}", ConfigFile::parse(text).unwrap_err());
            assert!(error.ends_with(message), "{error}");
        }
    }

    #[test]
    fn a_lua_script_is_refused_by_name() {
        let error = ConfigFile::parse("encoderfile:\n  transform: return 1\n").unwrap_err();
        assert!(error.to_string().contains("transform"));
    }
}
