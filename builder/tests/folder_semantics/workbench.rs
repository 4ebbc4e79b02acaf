//! Folders on disk, built and run in this process.

use crate::configs::{Configs, Module, PromptChoice, Request};
use crate::reference::{Hidden, Meaning};
use encoderfile::container::Payload;
use encoderfile::manifest::Task;
use encoderfile::output::Values;
use encoderfile::{Encoder, Options, Role, Source};
use encoderfile_builder::assemble::{Identity, assemble};
use encoderfile_builder::folder::{self, Overrides, Paths};
use encoderfile_builder::graph::Graph;
use encoderfile_builder::precision::Precision;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tempfile::TempDir;

/// A folder with the files that are the same for all cases.
pub(crate) struct Workbench {
    folder: TempDir,
    /// The bare model, by its limit.
    bare: HashMap<u32, Encoder>,
}

/// The fixture whose graph, tokenizer and config.json all cases have.
fn fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/models/st-mean-normalize")
}

const SHARED: [&str; 4] = [
    "model.onnx",
    "config.json",
    "tokenizer.json",
    "tokenizer_config.json",
];

impl Workbench {
    pub(crate) fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for name in SHARED {
            fs::copy(fixture().join(name), folder.path().join(name)).unwrap();
        }
        // The limit that the reference knows.
        let path = folder.path().join("tokenizer_config.json");
        let mut config: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        config["model_max_length"] = 48.into();
        fs::write(path, config.to_string()).unwrap();
        Self {
            folder,
            bare: HashMap::new(),
        }
    }

    /// The model that a folder with these configs becomes, or the refusal.
    pub(crate) fn build(&self, configs: &Configs) -> Result<Encoder, String> {
        self.write(configs);
        self.assemble(&Overrides::default())
    }

    fn assemble(&self, overrides: &Overrides) -> Result<Encoder, String> {
        let assembled = || {
            let paths = Paths::in_folder(self.folder.path())?;
            let model = folder::read(&paths, overrides)?;
            let graph = Graph::read(&paths.weights, &model)?;
            let identity = Identity {
                name: "random".into(),
                version: "1".into(),
                ..Identity::default()
            };
            assemble(&paths, model, &graph, identity, &Precision::exact())
        };
        let assembled = assembled().map_err(|error| error.to_string())?;
        let payload = assembled.payload().unwrap();
        let mut bytes = vec![0; usize::try_from(payload.len()).unwrap()];
        payload.read_at(0, &mut bytes).unwrap();
        let payload = Payload::open(Arc::new(bytes)).unwrap();
        Ok(Encoder::load(&payload).unwrap())
    }

    fn write(&self, configs: &Configs) {
        let folder = self.folder.path();
        let mut modules = vec![json!({
            "idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"
        })];
        for (index, module) in configs.modules.iter().enumerate() {
            let path = format!("{}_Module", index + 1);
            modules.push(json!({
                "idx": index + 1, "name": (index + 1).to_string(), "path": path, "type": module.kind
            }));
            write_module(&folder.join(path), module);
        }
        let write =
            |name: &str, value: &Value| fs::write(folder.join(name), value.to_string()).unwrap();
        write("modules.json", &modules.into());
        write("sentence_bert_config.json", &configs.transformer);
        match &configs.settings {
            Some(settings) => write("config_sentence_transformers.json", settings),
            None => write("config_sentence_transformers.json", &json!({})),
        }
    }

    /// The token vectors of prompt and text together, from the same graph
    /// without any module.
    pub(crate) fn hidden(&mut self, prompt: &str, text: &str, meaning: &Meaning) -> Hidden {
        if !self.bare.contains_key(&meaning.max_tokens) {
            let encoder = self.bare_encoder(meaning.max_tokens);
            self.bare.insert(meaning.max_tokens, encoder);
        }
        let encoder = &self.bare[&meaning.max_tokens];
        let tokens = encoder
            .tokenize(prompt.into(), &Options::default())
            .unwrap();
        Hidden {
            rows: vectors(encoder, &format!("{prompt}{text}")),
            // Without the special token at its end.
            prompt_len: if prompt.is_empty() {
                0
            } else {
                tokens.ids.len() - 1
            },
        }
    }

    fn bare_encoder(&self, max_tokens: u32) -> Encoder {
        for name in [
            "modules.json",
            "sentence_bert_config.json",
            "config_sentence_transformers.json",
        ] {
            fs::remove_file(self.folder.path().join(name)).unwrap();
        }
        let overrides = Overrides {
            task: Some(Task::Embedding),
            max_length: Some(max_tokens),
            ..Overrides::default()
        };
        self.assemble(&overrides).unwrap()
    }
}

fn vectors(encoder: &Encoder, text: &str) -> Vec<Vec<f64>> {
    let options = Options {
        special_tokens: true,
        ..Options::default()
    };
    let prediction = encoder.session().unwrap().infer(text, &options).unwrap();
    let Values::Embedding { embeddings } = prediction.values else {
        panic!("no token vectors");
    };
    let rows = embeddings.into_iter().map(|token| token.embedding);
    rows.map(|row| row.into_iter().map(f64::from).collect())
        .collect()
}

/// The embedding of a request, or the refusal.
pub(crate) fn infer(encoder: &Encoder, request: &Request) -> Result<Vec<f32>, String> {
    let mut options = Options {
        normalize: request.normalize,
        dimensions: request.dimensions,
        ..Options::default()
    };
    match request.prompt {
        PromptChoice::Default => {}
        PromptChoice::Literal(text) => options.prompt = Some(text.into()),
        PromptChoice::Named(name) => options.prompt_name = Some(name.into()),
        PromptChoice::Query => options.role = Some(Role::Query),
        PromptChoice::Document => options.role = Some(Role::Document),
    }
    let mut session = encoder.session().unwrap();
    let prediction = session.infer(request.text, &options);
    let prediction = prediction.map_err(|error| error.to_string())?;
    let Values::SentenceEmbedding { embedding } = prediction.values else {
        panic!("no sentence embedding");
    };
    Ok(embedding)
}

fn write_module(folder: &Path, module: &Module) {
    // Whatever a case before left there.
    let _ = fs::remove_dir_all(folder);
    fs::create_dir_all(folder).unwrap();
    let Some(config) = &module.config else {
        return;
    };
    fs::write(folder.join("config.json"), config.to_string()).unwrap();
    let number = |key: &str| config[key].as_u64().map(|it| it as usize);
    let tensors = match (
        number("in_features"),
        number("out_features"),
        number("dimension"),
    ) {
        (Some(inputs), Some(outputs), _) => {
            let mut tensors = vec![(
                "linear.weight",
                vec![outputs, inputs],
                values(weight, module.seed, inputs * outputs),
            )];
            if config["bias"] == true {
                tensors.push((
                    "linear.bias",
                    vec![outputs],
                    values(bias, module.seed, outputs),
                ));
            }
            tensors
        }
        (_, _, Some(dimension)) => vec![
            (
                "norm.weight",
                vec![dimension],
                values(weight, module.seed, dimension),
            ),
            (
                "norm.bias",
                vec![dimension],
                values(bias, module.seed, dimension),
            ),
        ],
        _ => return,
    };
    let views = tensors.iter().map(|(name, shape, bytes)| {
        let view =
            safetensors::tensor::TensorView::new(safetensors::Dtype::F32, shape.clone(), bytes);
        (*name, view.unwrap())
    });
    let bytes = safetensors::serialize(views, None).unwrap();
    fs::write(folder.join("model.safetensors"), bytes).unwrap();
}

fn values(value: fn(u64, usize) -> f64, seed: u64, count: usize) -> Vec<u8> {
    let values = (0..count).map(|index| value(seed, index) as f32);
    values.flat_map(f32::to_le_bytes).collect()
}

/// A weight between -1 and 1 that is exact in float32.
pub(crate) fn weight(seed: u64, index: usize) -> f64 {
    let mixed = (seed ^ index as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (mixed >> 48) as f64 / 32_768.0 - 1.0
}

/// The same for biases.
pub(crate) fn bias(seed: u64, index: usize) -> f64 {
    weight(!seed, index)
}
