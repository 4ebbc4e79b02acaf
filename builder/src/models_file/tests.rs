//! What is read of a models.yaml, and what is refused.

use super::*;
use crate::precision::TargetSize;
use encoderfile::manifest::Task;
use encoderfile::weights::{GroupLen, WeightsEncoding};

/// A file with one model, `m`, of a folder, and more keys.
fn one(keys: &str) -> anyhow::Result<ModelsFile> {
    ModelsFile::parse(&format!("models:\n- name: m\n  path: folder\n{keys}"))
}

fn refused(text: &str) -> String {
    let message = format!("{:#}", ModelsFile::parse(text).unwrap_err());
    assert!(!message.contains('\n'), "{message}");
    message
}

#[test]
fn a_model_has_a_place_targets_and_settings() {
    let file = ModelsFile::parse(
        "models:\n\
         - name: minilm\n  hf_name: org/minilm@v1\n  version: 2.0.0\n  task: sentence-similarity\n  \
         targets: [bundle, wasm32-wasip1, native]\n  quantization: {bits: 8}\n  compute: int8\n  \
         tokenizer: {max_length: 64, truncation_side: left}\n\
         - name: ner\n  path: ./ner\n  target: bundle\n",
    )
    .unwrap();
    let [minilm, ner] = &*file.models else {
        panic!("{file:?}");
    };
    let reference = "org/minilm@v1".parse().unwrap();
    assert_eq!(minilm.place().unwrap(), Place::Hub(reference));
    assert_eq!(
        minilm.outputs().unwrap(),
        [
            ("bundle", "minilm.ef".into()),
            ("wasm32-wasip1", "minilm.ef.wasm".into()),
            (HOST_TARGET, "minilm.encoderfile".into()),
        ]
    );
    let settings = minilm.settings().unwrap();
    assert_eq!(settings.name.as_deref(), Some("minilm"));
    assert_eq!(settings.version.as_deref(), Some("2.0.0"));
    assert_eq!(settings.overrides.task, Some(Task::SentenceEmbedding));
    assert_eq!(settings.overrides.max_length, Some(64));
    let int8 = WeightsEncoding::Int8(GroupLen::G64);
    assert_eq!(settings.precision.weights, Some(int8));
    assert_eq!(settings.precision.compute, Some(Compute::Int8));
    assert_eq!(ner.place().unwrap(), Place::Folder(Path::new("./ner")));
    assert_eq!(ner.outputs().unwrap(), [("bundle", "ner.ef".into())]);
}

#[test]
fn a_model_without_targets_is_for_this_machine() {
    let file = one("").unwrap();
    let outputs = file.models[0].outputs().unwrap();
    assert_eq!(outputs, [(HOST_TARGET, "m.encoderfile".into())]);
    let settings = file.models[0].settings().unwrap();
    assert_eq!(settings.precision, Precision::default());
    assert_eq!(settings.overrides.task, None);
}

#[test]
fn bits_and_types_mean_the_same() {
    let [int8, int4] = [WeightsEncoding::Int8, WeightsEncoding::Int4];
    let size = TargetSize::of_file(50_000_000);
    let cases = [
        ("{}", None, None),
        ("{bits: 32}", Some(WeightsEncoding::F32), None),
        ("{dtype: float32}", Some(WeightsEncoding::F32), None),
        ("{bits: 16}", Some(WeightsEncoding::F16), None),
        (
            "{bits: 16, dtype: bfloat16}",
            Some(WeightsEncoding::Bf16),
            None,
        ),
        ("{bits: 8}", Some(int8(GroupLen::G64)), None),
        (
            "{dtype: int8, group_size: 128}",
            Some(int8(GroupLen::G128)),
            None,
        ),
        ("{bits: 4, group_size: 32}", Some(int4(GroupLen::G32)), None),
        ("{dtype: int4}", Some(int4(GroupLen::G64)), None),
        ("{target_size_mb: 50}", None, Some(size)),
        (
            "{target_size_mb: 50, group_size: 32}",
            Some(int4(GroupLen::G32)),
            Some(size),
        ),
    ];
    for (quantization, weights, target_size) in cases {
        let file = one(&format!("  quantization: {quantization}\n")).unwrap();
        let precision = file.models[0].quantization.precision().unwrap();
        assert_eq!(precision.weights, weights, "{quantization}");
        assert_eq!(precision.target_size, target_size, "{quantization}");
    }
}

#[test]
fn what_contradicts_itself_is_named() {
    let cases = [
        (
            "{bits: 8, group_size: 48}",
            "`quantization.group_size`: 48; expected 32, 64 or 128",
        ),
        (
            "{bits: 16, group_size: 32}",
            "`quantization.group_size`: 32; only values of 8 and 4 bits share scales",
        ),
        (
            "{group_size: 32}",
            "`quantization.group_size`: 32, but neither `bits` nor `dtype` says of what",
        ),
        (
            "{bits: 3}",
            "`quantization.bits`: 3; expected 32, 16, 8 or 4",
        ),
        (
            "{bits: 8, dtype: float16}",
            "`quantization.dtype`: float16 has 16 bits, and `quantization.bits` is 8",
        ),
    ];
    for (quantization, expected) in cases {
        let error = one(&format!("  quantization: {quantization}\n")).unwrap_err();
        assert_eq!(format!("{error:#}"), format!("model `m`: {expected}"));
    }
}

#[test]
fn unknown_keys_are_named_with_their_place() {
    for (text, place) in [
        ("model: []\n", "line 1 column 1: unknown field `model`"),
        (
            "models:\n- name: m\n  path: x\n  pth: x\n",
            "line 4 column 3: unknown field `pth`",
        ),
        (
            "models:\n- name: m\n  path: x\n  quantization:\n    bit: 8\n",
            "line 5 column 5: unknown field `bit`",
        ),
        (
            "models:\n- name: m\n  path: x\n  task: translation\n",
            "line 4 column 9: unknown variant `translation`",
        ),
    ] {
        let message = refused(text);
        assert!(message.starts_with(place), "{message}");
    }
}

#[test]
fn models_that_are_none_or_in_each_others_way_are_refused() {
    for (text, expected) in [
        ("models: []\n", "`models` is empty"),
        (
            "models:\n- name: ''\n  path: x\n",
            "`name` of a model is empty",
        ),
        (
            "models:\n- name: m\n  path: x\n- name: m\n  path: y\n",
            "two models are called `m`",
        ),
        (
            "models:\n- name: m\n",
            "model `m`: neither `hf_name` nor `path`: say which model of the hub, or which folder",
        ),
        (
            "models:\n- name: m\n  path: x\n  hf_name: y\n",
            "model `m`: both `hf_name` and `path`: a model is in one place",
        ),
        (
            "models:\n- name: m\n  hf_name: a/b/c\n",
            "model `m`: `hf_name`: \"a/b/c\" is no model of the hub: NAME or ORG/NAME, perhaps with @REVISION",
        ),
        (
            "models:\n- name: ..\n  path: x\n",
            "model `..`: no file can be called that",
        ),
        (
            "models:\n- name: a/m\n  path: x\n  target: bundle\n- name: b/m\n  path: y\n  targets: [bundle]\n",
            "models `a/m` and `b/m` would both write m.ef: give one another `name`",
        ),
        (
            "models:\n- name: m\n  path: x\n  targets: [bundle, bundle]\n",
            "model `m`: `targets`: bundle and bundle would both write m.ef",
        ),
    ] {
        assert_eq!(refused(text), expected);
    }
    let message = refused("models:\n- name: m\n  path: x\n  targets: []\n");
    assert!(message.contains("`targets` is an empty list"), "{message}");
}

#[test]
fn models_are_chosen_by_name_in_the_order_of_the_file() {
    let text = "models:\n- {name: a, path: x}\n- {name: b, path: y}\n- {name: c, path: z}\n";
    let file = ModelsFile::parse(text).unwrap();
    let names = |names: &[&str]| {
        let names: Vec<String> = names.iter().map(|it| (*it).to_owned()).collect();
        let chosen = file.choose(&names)?;
        anyhow::Ok(chosen.into_iter().map(|it| &*it.name).collect::<Vec<_>>())
    };
    assert_eq!(names(&[]).unwrap(), ["a", "b", "c"]);
    assert_eq!(names(&["c", "a", "c"]).unwrap(), ["a", "c"]);
    let error = names(&["a", "d"]).unwrap_err().to_string();
    assert_eq!(error, "no model is called `d`; there are a, b, c");
}
