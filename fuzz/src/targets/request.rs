//! Requests in JSON, for a model of each task.

use crate::models;
use encoderfile::{Error, Executor, Model};
use std::sync::LazyLock;

static MODELS: LazyLock<Vec<Model>> = LazyLock::new(|| {
    let models = models::NAMES.iter().map(|name| {
        let payload = models::payload(name)?;
        Ok(Model::from_bytes(payload, Executor::OneThread)?)
    });
    let models: anyhow::Result<_> = models.collect();
    models.unwrap_or_else(|error| panic!("{error:#}"))
});

/// The first byte says which model: a digit, so that inputs can be read.
pub(crate) fn run(data: &[u8]) {
    let Some((which, request)) = data.split_first() else {
        return;
    };
    let Ok(request) = std::str::from_utf8(request) else {
        return;
    };
    let model = &MODELS[usize::from(which.wrapping_sub(b'0')) % MODELS.len()];
    match model.infer_json(request) {
        Err(error @ (Error::File(_) | Error::Bug(_))) => panic!("{error}"),
        Ok(answer) => {
            let read = serde_json::from_str::<serde_json::Value>(&answer);
            assert!(read.is_ok(), "{answer}");
        }
        Err(_) => {}
    }
}

pub(crate) fn seeds() -> anyhow::Result<Vec<Vec<u8>>> {
    const SEEDS: [&str; 14] = [
        r#"0{"inputs": ["a text", "another"], "normalize": false, "dimensions": 4}"#,
        r#"0{"inputs": ["a text"], "overflow": "mean", "max_tokens": 4, "prompt": "query: "}"#,
        r#"0{"inputs": ["a"], "unpooled": true, "special_tokens": true, "metadata": {"id": null}}"#,
        r#"1{"inputs": [{"text": "a", "text_pair": "b"}], "raw_scores": true}"#,
        r#"1{"inputs": ["a"], "query": "b", "top_k": 1, "truncation_strategy": "only_first"}"#,
        r#"1{"inputs": ["a"], "labels": ["b", "c"], "multi_label": true, "template": "It is {}."}"#,
        r#"2{"inputs": ["a text"], "aggregation": "simple", "stride": 2, "max_tokens": 8}"#,
        r#"2{"inputs": ["a"], "ignore_labels": ["LABEL_0"], "aggregation": "max"}"#,
        r#"3{"inputs": ["a [MASK] text"], "top_k": 2, "targets": ["b", "c"]}"#,
        r#"3{"inputs": ["a [MASK]", ""], "partial": true}"#,
        r#"4{"inputs": ["\ud83d \ud83d\ude00"], "overflow": "error", "truncation_side": "left"}"#,
        r#"6{"inputs": ["a text", "another"], "query": "a question", "top_k": 1}"#,
        r#"6{"inputs": ["a text"], "role": "query", "prompt": "p"}"#,
        r#"5{"inputs": [], "role": "query", "prompt_name": null}"#,
    ];
    Ok(SEEDS.iter().map(|seed| seed.as_bytes().to_vec()).collect())
}
