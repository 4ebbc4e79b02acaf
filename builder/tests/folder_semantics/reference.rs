//! What the files of a sentence-transformers folder mean, written down once
//! more, plainly and in float64: the semantics that builder and runtime
//! together have to have.

use crate::configs::{Configs, Module, PromptChoice, Request, WIDTH};
use crate::workbench::{bias, weight};
use serde_json::Value;

/// The keys that choose a mode in the older form, in the order in which
/// several are concatenated, with the names of the newer form.
const MODES: [(&str, &str); 6] = [
    ("pooling_mode_cls_token", "cls"),
    ("pooling_mode_max_tokens", "max"),
    ("pooling_mode_mean_tokens", "mean"),
    ("pooling_mode_mean_sqrt_len_tokens", "mean_sqrt_len_tokens"),
    ("pooling_mode_weightedmean_tokens", "weightedmean"),
    ("pooling_mode_lasttoken", "lasttoken"),
];

/// What an accepted folder means.
pub(crate) struct Meaning {
    configs: Configs,
    modes: Vec<String>,
    /// Special tokens included.
    pub(crate) max_tokens: u32,
    width: usize,
}

/// The token vectors of a text, and how many tokens a prompt alone begins with.
pub(crate) struct Hidden {
    pub(crate) rows: Vec<Vec<f64>>,
    pub(crate) prompt_len: usize,
}

/// How many modes a Pooling config chooses.
pub(crate) fn mode_count(config: &Value) -> usize {
    modes(config).len()
}

fn modes(config: &Value) -> Vec<String> {
    match &config["pooling_mode"] {
        Value::String(mode) => vec![mode.clone()],
        Value::Array(modes) => modes
            .iter()
            .filter_map(|it| Some(it.as_str()?.to_owned()))
            .collect(),
        _ => {
            let chosen = MODES.iter().filter(|(key, _)| config[key] == true);
            let chosen: Vec<String> = chosen.map(|(_, name)| (*name).to_owned()).collect();
            if chosen.is_empty() {
                vec!["mean".into()]
            } else {
                chosen
            }
        }
    }
}

/// The meaning, or for each reason to refuse the folder a word that names it.
pub(crate) fn understand(configs: &Configs) -> Result<Meaning, Vec<&'static str>> {
    let pooling = configs.modules[0].config.as_ref().unwrap();
    let modes = modes(pooling);
    let mut reasons = Vec::new();
    let mut refuse = |applies: bool, key| reasons.extend(applies.then_some(key));
    refuse(configs.transformer.get("a_new_key").is_some(), "a_new_key");
    refuse(
        pooling.get("pooling_mode_attention").is_some(),
        "pooling_mode_attention",
    );
    refuse(modes.iter().any(|mode| mode == "median"), "median");
    let default = configs.setting("default_prompt_name").as_str();
    // sentence-transformers has these two in every model, empty where nobody says.
    let unknown = default
        .filter(|name| !["query", "document"].contains(name))
        .is_some_and(|name| configs.prompt(name).is_none());
    refuse(unknown, "default_prompt_name");
    refuse(
        configs.setting("similarity_fn_name") == "hamming",
        "similarity_fn_name",
    );

    let mut width = WIDTH * modes.len();
    for module in &configs.modules[1..] {
        let number = |key: &str| module.config.as_ref().and_then(|it| it[key].as_u64());
        match (name(module), &module.config) {
            ("Dense", Some(config)) => refuse(function(config) == "Mish", "Mish"),
            ("LayerNorm" | "Normalize", _) => {}
            _ => refuse(true, "modules.json"),
        }
        let takes = number("in_features").or(number("dimension"));
        refuse(
            takes.is_some_and(|takes| takes as usize != width),
            "but is given",
        );
        width = number("out_features").map_or(width, |it| it as usize);
    }
    let dimensions = configs.setting("truncate_dim").as_u64();
    let absurd = dimensions.is_some_and(|it| it == 0 || it as usize > width);
    refuse(absurd, "truncate_dim");
    if !reasons.is_empty() {
        return Err(reasons);
    }
    let length = configs.transformer["max_seq_length"].as_u64();
    Ok(Meaning {
        configs: configs.clone(),
        modes,
        // The fixture's own limit is 48 tokens, and it has 80 positions.
        max_tokens: length.map_or(48, |length| length.min(80) as u32),
        width,
    })
}

fn name(module: &Module) -> &'static str {
    module.kind.rsplit('.').next().unwrap_or_default()
}

fn function(dense: &Value) -> &str {
    let full = dense["activation_function"].as_str().unwrap_or("Tanh");
    full.rsplit('.').next().unwrap_or_default()
}

impl Configs {
    fn setting(&self, key: &str) -> &Value {
        self.settings
            .as_ref()
            .map_or(&Value::Null, |settings| &settings[key])
    }

    fn prompt(&self, name: &str) -> Option<&str> {
        self.setting("prompts").get(name).and_then(Value::as_str)
    }
}

impl Meaning {
    /// The embedding; `None` for a request that has to be refused.
    pub(crate) fn embedding(
        &self,
        request: &Request,
        hidden: &mut dyn FnMut(&str, &str) -> Hidden,
    ) -> Option<Vec<f64>> {
        let asked = request.dimensions;
        if asked.is_some_and(|dimensions| dimensions == 0 || dimensions > self.width) {
            return None;
        }
        let prompt = self.prompt(&request.prompt)?.to_owned();
        let hidden = hidden(&prompt, request.text);
        let pooling = self.configs.modules[0].config.as_ref().unwrap();
        let skipped = if pooling["include_prompt"] == false {
            hidden.prompt_len
        } else {
            0
        };
        let mut vector: Vec<f64> = Vec::new();
        for mode in &self.modes {
            vector.extend(pool(mode, &hidden.rows, skipped));
        }
        let modules = &self.configs.modules[1..];
        for (place, module) in modules.iter().enumerate() {
            let is_last_norm = modules[place..].iter().all(|it| name(it) == "Normalize");
            if is_last_norm && request.normalize == Some(false) {
                break;
            }
            vector = apply(module, vector);
        }
        let norm_at_end = modules
            .last()
            .is_some_and(|module| name(module) == "Normalize");
        match (asked, self.configs.setting("truncate_dim").as_u64()) {
            (Some(dimensions), _) => {
                vector.truncate(dimensions);
                if request.normalize.unwrap_or(norm_at_end) {
                    vector = l2(vector);
                }
            }
            (None, dimensions) => {
                vector.truncate(dimensions.map_or(usize::MAX, |it| it as usize));
                if request.normalize == Some(true) {
                    vector = l2(vector);
                }
            }
        }
        Some(vector)
    }

    fn prompt(&self, choice: &PromptChoice) -> Option<&str> {
        let configs = &self.configs;
        let first = |names: &[&str]| names.iter().find_map(|name| configs.prompt(name));
        match choice {
            PromptChoice::Literal(text) => Some(text),
            PromptChoice::Named(name) => configs.prompt(name),
            PromptChoice::Query => Some(first(&["query"]).unwrap_or_default()),
            PromptChoice::Document => {
                Some(first(&["document", "passage", "corpus"]).unwrap_or_default())
            }
            PromptChoice::Default => {
                let default = configs.setting("default_prompt_name").as_str();
                Some(
                    default
                        .and_then(|name| configs.prompt(name))
                        .unwrap_or_default(),
                )
            }
        }
    }
}

fn pool(mode: &str, rows: &[Vec<f64>], skipped: usize) -> Vec<f64> {
    let kept: Vec<(f64, &Vec<f64>)> = rows
        .iter()
        .enumerate()
        .skip(skipped)
        .map(|(index, row)| ((index + 1) as f64, row))
        .collect();
    let count = kept.len() as f64;
    let column = |column: usize| -> f64 {
        let values = || kept.iter().map(|(_, row)| row[column]);
        match mode {
            "cls" => kept[0].1[column],
            "lasttoken" => kept[kept.len() - 1].1[column],
            "max" => values().fold(f64::NEG_INFINITY, f64::max),
            "mean" => values().sum::<f64>() / count,
            "mean_sqrt_len_tokens" => values().sum::<f64>() / count.sqrt(),
            "weightedmean" => {
                let weights: f64 = kept.iter().map(|(position, _)| position).sum();
                let sum = kept.iter().map(|(position, row)| position * row[column]);
                sum.sum::<f64>() / weights
            }
            other => panic!("no mode {other}"),
        }
    };
    (0..WIDTH).map(column).collect()
}

fn apply(module: &Module, vector: Vec<f64>) -> Vec<f64> {
    let seed = module.seed;
    match (name(module), &module.config) {
        ("Dense", Some(config)) => {
            let outputs = config["out_features"].as_u64().unwrap() as usize;
            let row = |output: usize| {
                let products = vector
                    .iter()
                    .enumerate()
                    .map(|(input, value)| value * weight(seed, output * vector.len() + input));
                let bias = if config["bias"] == true {
                    bias(seed, output)
                } else {
                    0.0
                };
                activate(function(config), products.sum::<f64>() + bias)
            };
            (0..outputs).map(row).collect()
        }
        ("LayerNorm", _) => {
            let count = vector.len() as f64;
            let mean = vector.iter().sum::<f64>() / count;
            let variance = vector.iter().map(|it| (it - mean).powi(2)).sum::<f64>() / count;
            let deviation = (variance + 1e-5).sqrt();
            let values = vector.iter().enumerate();
            values
                .map(|(index, it)| {
                    (it - mean) / deviation * weight(seed, index) + bias(seed, index)
                })
                .collect()
        }
        _ => l2(vector),
    }
}

fn activate(function: &str, x: f64) -> f64 {
    match function {
        "Tanh" => x.tanh(),
        "Identity" => x,
        "ReLU" => x.max(0.0),
        "GELU" => 0.5 * x * (1.0 + libm::erf(x / 2_f64.sqrt())),
        "Sigmoid" => 1.0 / (1.0 + (-x).exp()),
        "SiLU" => x / (1.0 + (-x).exp()),
        other => panic!("no function {other}"),
    }
}

fn l2(vector: Vec<f64>) -> Vec<f64> {
    let norm = vector
        .iter()
        .map(|it| it * it)
        .sum::<f64>()
        .sqrt()
        .max(1e-12);
    vector.into_iter().map(|it| it / norm).collect()
}

/// The largest difference, divided by the largest number where that is above 1.
pub(crate) fn difference(got: &[f32], expected: &[f64]) -> f64 {
    if got.len() != expected.len() {
        return f64::INFINITY;
    }
    let scale = expected
        .iter()
        .fold(1.0_f64, |largest, it| largest.max(it.abs()));
    let pairs = got.iter().zip(expected);
    let differences = pairs.map(|(got, expected)| (f64::from(*got) - expected).abs() / scale);
    differences.fold(0.0, |largest, it| {
        if it.is_nan() {
            f64::INFINITY
        } else {
            it.max(largest)
        }
    })
}
