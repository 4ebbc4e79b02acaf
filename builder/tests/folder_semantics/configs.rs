//! Random config files, right and wrong.

use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// The hidden size of the model underneath.
pub(crate) const WIDTH: usize = 32;

/// The files of a folder that are made up; the others are a fixture's.
#[derive(Clone, Debug)]
pub(crate) struct Configs {
    /// What follows the Transformer module, in order.
    pub(crate) modules: Vec<Module>,
    /// sentence_bert_config.json.
    pub(crate) transformer: Value,
    /// config_sentence_transformers.json.
    pub(crate) settings: Option<Value>,
}

/// A module: its type in modules.json and its config.json.
#[derive(Clone, Debug)]
pub(crate) struct Module {
    pub(crate) kind: &'static str,
    /// `None` for modules that have none.
    pub(crate) config: Option<Value>,
    /// Seeds the weights.
    pub(crate) seed: u64,
}

/// What is asked of the finished model.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) text: &'static str,
    pub(crate) normalize: Option<bool>,
    pub(crate) dimensions: Option<usize>,
    pub(crate) prompt: PromptChoice,
}

/// How a request chooses its prompt.
#[derive(Clone, Debug)]
pub(crate) enum PromptChoice {
    Default,
    Literal(&'static str),
    Named(&'static str),
    Query,
    Document,
}

const PROMPT_NAMES: [&str; 5] = ["query", "document", "passage", "corpus", "title"];
const PROMPTS: [&str; 4] = ["", "query: ", "represent this for a search: ", "x"];

impl Configs {
    pub(crate) fn any() -> impl Strategy<Value = Self> {
        let followers =
            prop_oneof![3 => dense(), 2 => layer_norm(), 3 => normalize(), 1 => wrong_module()];
        let modules = (pooling(), vec(followers, 0..4)).prop_map(|(pooling, followers)| {
            let mut modules = vec![pooling];
            modules.extend(followers);
            modules
        });
        // Most modules are given the width that comes out of those before them.
        let modules = (modules, prop::bool::weighted(0.95)).prop_map(|(mut modules, fitted)| {
            if fitted {
                fit(&mut modules);
            }
            modules
        });
        (modules, transformer(), option::weighted(0.8, settings())).prop_map(
            |(modules, transformer, settings)| Self {
                modules,
                transformer,
                settings,
            },
        )
    }
}

fn pooling() -> impl Strategy<Value = Module> {
    let old = select(vec![
        "pooling_mode_cls_token",
        "pooling_mode_max_tokens",
        "pooling_mode_mean_tokens",
        "pooling_mode_mean_sqrt_len_tokens",
        "pooling_mode_weightedmean_tokens",
        "pooling_mode_lasttoken",
    ]);
    let old = btree_map(old, any::<bool>(), 0..6);
    let old = old.prop_map(|modes| json!(modes));
    let mode = prop_oneof![
        20 => select(vec!["cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken"]),
        1 => Just("median"),
    ];
    let new = prop_oneof![
        mode.clone()
            .prop_map(|mode| json!({ "pooling_mode": mode })),
        vec(mode, 1..4).prop_map(|modes| json!({ "pooling_mode": modes })),
    ];
    let include_prompt = option::weighted(0.5, any::<bool>());
    let unknown = prop::bool::weighted(0.05);
    (prop_oneof![old, new], include_prompt, unknown).prop_map(
        |(mut config, include_prompt, unknown)| {
            if let Some(include_prompt) = include_prompt {
                config["include_prompt"] = include_prompt.into();
            }
            if unknown {
                config["pooling_mode_attention"] = false.into();
            }
            Module {
                kind: "sentence_transformers.models.Pooling",
                config: Some(config),
                seed: 0,
            }
        },
    )
}

fn dense() -> impl Strategy<Value = Module> {
    let function = prop_oneof![
        12 => select(vec![
            "torch.nn.modules.activation.Tanh",
            "torch.nn.modules.linear.Identity",
            "torch.nn.modules.activation.ReLU",
            "torch.nn.modules.activation.GELU",
            "torch.nn.modules.activation.Sigmoid",
            "torch.nn.modules.activation.SiLU",
        ]).prop_map(Some),
        1 => Just(None),
        1 => Just(Some("torch.nn.modules.activation.Mish")),
    ];
    (1..48_usize, any::<bool>(), function, any::<u64>()).prop_map(
        |(outputs, bias, function, seed)| {
            let mut config = json!({"in_features": WIDTH, "out_features": outputs, "bias": bias});
            if let Some(function) = function {
                config["activation_function"] = function.into();
            }
            Module {
                kind: "sentence_transformers.models.Dense",
                config: Some(config),
                seed,
            }
        },
    )
}

fn layer_norm() -> impl Strategy<Value = Module> {
    any::<u64>().prop_map(|seed| Module {
        kind: "sentence_transformers.sentence_transformer.modules.layer_norm.LayerNorm",
        config: Some(json!({ "dimension": WIDTH })),
        seed,
    })
}

fn normalize() -> impl Strategy<Value = Module> {
    Just(Module {
        kind: "sentence_transformers.models.Normalize",
        config: None,
        seed: 0,
    })
}

fn wrong_module() -> impl Strategy<Value = Module> {
    let kinds = vec![
        "sentence_transformers.models.WeightedLayerPooling",
        "sentence_transformers.models.Pooling",
        "my_package.Whatever",
    ];
    select(kinds).prop_map(|kind| Module {
        kind,
        config: Some(json!({})),
        seed: 0,
    })
}

/// Gives each module the width that comes out of those before it.
fn fit(modules: &mut [Module]) {
    let mut width = WIDTH;
    for module in modules {
        let Some(config) = &mut module.config else {
            continue;
        };
        match module.kind.rsplit('.').next() {
            Some("Pooling") => width = WIDTH * crate::reference::mode_count(config),
            Some("Dense") => {
                config["in_features"] = width.into();
                width = config["out_features"].as_u64().map_or(1, |it| it as usize);
            }
            Some("LayerNorm") => config["dimension"] = width.into(),
            _ => {}
        }
    }
}

fn transformer() -> impl Strategy<Value = Value> {
    let length = option::weighted(0.6, 6..60_u32);
    let lower_case = option::weighted(0.3, any::<bool>());
    let unknown = prop::bool::weighted(0.03);
    (length, lower_case, unknown).prop_map(|(length, lower_case, unknown)| {
        let mut config = Map::new();
        config.extend(length.map(|it| ("max_seq_length".to_owned(), json!(it))));
        config.extend(lower_case.map(|it| ("do_lower_case".to_owned(), json!(it))));
        if unknown {
            config.insert("a_new_key".into(), json!(1));
        }
        config.into()
    })
}

fn settings() -> impl Strategy<Value = Value> {
    let prompts = btree_map(select(&PROMPT_NAMES[..]), select(&PROMPTS[..]), 0..4);
    let default = option::weighted(0.3, select(&PROMPT_NAMES[..]));
    let dimensions = option::weighted(0.3, 0..40_usize);
    let similarity = option::of(select(vec![
        "cosine",
        "dot",
        "euclidean",
        "manhattan",
        "hamming",
    ]));
    (prompts, default, dimensions, similarity).prop_map(
        |(prompts, default, dimensions, similarity): (BTreeMap<&str, &str>, _, _, _)| {
            json!({
                "prompts": prompts,
                "default_prompt_name": default,
                "truncate_dim": dimensions,
                "similarity_fn_name": similarity,
            })
        },
    )
}

impl Request {
    pub(crate) fn any() -> impl Strategy<Value = Self> {
        let text = select(vec![
            "",
            "A cat sits on the mat.",
            "Zoë flew to 東京 😀",
            "It is a truth universally acknowledged, that a single man in possession of a good \
             fortune, must be in want of a wife.",
        ]);
        let prompt = prop_oneof![
            3 => Just(PromptChoice::Default),
            1 => select(&PROMPTS[..]).prop_map(PromptChoice::Literal),
            1 => select(&PROMPT_NAMES[..]).prop_map(PromptChoice::Named),
            1 => Just(PromptChoice::Query),
            1 => Just(PromptChoice::Document),
        ];
        let dimensions = option::weighted(0.3, 0..50_usize);
        (text, option::of(any::<bool>()), dimensions, prompt).prop_map(
            |(text, normalize, dimensions, prompt)| Self {
                text,
                normalize,
                dimensions,
                prompt,
            },
        )
    }
}
