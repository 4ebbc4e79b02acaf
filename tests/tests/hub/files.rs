//! Which files are fetched, and that a build of them is the build of the folder.

use crate::bench::{Bench, FIXTURE, names_in};
use crate::content::{COMMIT, ID, Model};
use anyhow::{Context, ensure};
use encoderfile_tests::fixture;
use encoderfile_tests::process;
use serde_json::Value;
use std::collections::BTreeSet;

/// One of each kind: where a model's weights and settings may be.
const KINDS: [&str; 17] = [
    "bert-token_classification",
    "ce-dense",
    "ce-modules",
    "checkpoint-bert-pickled-sharded",
    "checkpoint-bert-sharded",
    "checkpoint-roberta-pickled",
    "checkpoint-t5-embedding",
    "cls-pair-rerank",
    "files-external-data",
    "late-bert",
    "late-multi-vector",
    "late-stanford",
    "late-stanford-projected",
    "splade-max",
    "st-cls",
    "st-dense-layernorm",
    "st-roles",
];

#[test]
fn a_build_is_that_of_the_folder_and_says_where_it_is_from() -> anyhow::Result<()> {
    for name in KINDS {
        let Some(bench) = Bench::with(Model::of_fixture(name)?)? else {
            return Ok(());
        };
        let folder = fixture::folder(name).display().to_string();
        process::succeed(&mut bench.build_of(&folder, &["--name", "x", "--license", "mit"]))?;
        let mut of_folder = bench.inspect()?;
        process::succeed(&mut bench.build(&["--name", "x", "--license", "mit"]))?;
        let mut of_hub = bench.inspect()?;
        let source = of_hub["provenance"]["source"].take();
        ensure!(source == format!("{ID}@{COMMIT}"), "{name}: {source}");
        ensure!(of_folder["provenance"]["source"].is_null(), "{name}");
        for description in [&mut of_hub, &mut of_folder] {
            // Of a commit the one, of files the other.
            let fingerprint = description["provenance"]["fingerprint"].take();
            ensure!(fingerprint != "", "{name}: no fingerprint");
            // Of a manifest with one field more.
            description["payload_digest"] = Value::Null;
            description["artifacts"] = Value::Null;
            description["payload_offset"] = Value::Null;
        }
        ensure!(
            of_hub == of_folder,
            "{name}: {of_hub:#}\nis not\n{of_folder:#}"
        );
        bench.check_cache()?;
    }
    Ok(())
}

#[test]
fn only_what_is_needed_is_fetched_and_once() -> anyhow::Result<()> {
    let Some(bench) = Bench::open()? else {
        return Ok(());
    };
    let said = bench.succeeds()?.stderr;
    let mut downloads = bench.downloads();
    downloads.sort();
    let needed = [
        "1_Pooling/config.json",
        "README.md",
        "config.json",
        "config_sentence_transformers.json",
        "model.onnx",
        "modules.json",
        "sentence_bert_config.json",
        "special_tokens_map.json",
        "tokenizer.json",
        "tokenizer_config.json",
    ];
    ensure!(downloads == needed, "{downloads:?}");
    ensure!(
        said.contains(&format!("{ID}: commit {COMMIT}, downloaded 10 files")),
        "{said}"
    );
    let names: BTreeSet<String> = needed.map(String::from).into();
    ensure!(names_in(&bench.snapshot()) == names);
    let inspected = bench.inspect()?;
    ensure!(inspected["name"] == "tiny-model", "{}", inspected["name"]);
    ensure!(inspected["provenance"]["license"] == "mit");
    Ok(())
}

#[test]
fn another_file_of_weights_is_fetched_instead() -> anyhow::Result<()> {
    let other = Model::of_fixture("st-cls")?;
    let other = other.file("model.onnx").context("no model.onnx")?;
    let model = Model::of_fixture(FIXTURE)?.with("onnx/model_O2.onnx", &other.content);
    let Some(bench) = Bench::with(model)? else {
        return Ok(());
    };
    for (name, fetched) in [
        ("model.safetensors", "model.safetensors"),
        ("model_O2.onnx", "onnx/model_O2.onnx"),
    ] {
        process::succeed(&mut bench.build(&["--weights-file", name]))?;
        let downloads = bench.downloads();
        ensure!(downloads.iter().any(|it| it == fetched), "{downloads:?}");
        ensure!(
            !downloads.iter().any(|it| it == "model.onnx"),
            "{downloads:?}"
        );
    }
    let words = ["org/tiny-model", "model_O9.onnx", "onnx/model_O2.onnx"];
    process::finish(&mut bench.build(&["--weights-file", "model_O9.onnx"]))?.refused(&words)?;
    Ok(())
}

#[test]
fn what_cannot_be_built_is_refused_before_its_weights_are_fetched() -> anyhow::Result<()> {
    let model = Model::of_fixture(FIXTURE)?;
    let decoder = br#"{"model_type": "llama", "architectures": ["LlamaForCausalLM"]}"#;
    let Some(bench) = Bench::with(model.with("config.json", decoder))? else {
        return Ok(());
    };
    bench.refuses(&["config.json: not an encoder", "LlamaForCausalLM"])?;
    let downloads = bench.downloads();
    ensure!(
        !downloads.iter().any(|it| it.starts_with("model.")),
        "{downloads:?}"
    );

    let model = Model::of_fixture(FIXTURE)?;
    let model = model.without("model.onnx").without("model.safetensors");
    let Some(bench) = Bench::with(model.with("tf_model.h5", b"x"))? else {
        return Ok(());
    };
    bench.refuses(&[
        "org/tiny-model: no model.onnx",
        "tf_model.h5",
        "--model org/tiny-model",
    ])
}

#[test]
fn tensors_in_a_file_that_is_not_there_are_said() -> anyhow::Result<()> {
    for (name, file) in [
        ("files-external-data", "onnx/model.onnx_data"),
        (
            "checkpoint-bert-sharded",
            "model-00002-of-00003.safetensors",
        ),
    ] {
        let model = Model::of_fixture(name)?;
        ensure!(model.file(file).is_some(), "{name} has no {file}");
        let Some(bench) = Bench::with(model.without(file))? else {
            return Ok(());
        };
        bench.refuses(&[file, "is not in it"])?;
    }
    Ok(())
}

#[test]
fn without_tokenizer_json_the_vocabulary_is_fetched_whatever_files_it_is_in() -> anyhow::Result<()>
{
    let others = ["vocab.json", "merges.txt", "spiece.model"];
    let mut model = Model::of_fixture(FIXTURE)?;
    let tokenizer = model.file("tokenizer.json").context("no tokenizer.json")?;
    let tokenizer: Value = serde_json::from_slice(&tokenizer.content)?;
    let ids = tokenizer["model"]["vocab"].as_object().context("no ids")?;
    let mut tokens: Vec<(&String, Option<u64>)> =
        ids.iter().map(|(token, id)| (token, id.as_u64())).collect();
    tokens.sort_by_key(|(_, id)| *id);
    let lines: String = tokens
        .iter()
        .map(|(token, _)| format!("{token}\n"))
        .collect();
    model = model.with("vocab.txt", lines.as_bytes());
    let class = br#"{"tokenizer_class": "BertTokenizer"}"#;
    model = model.with("tokenizer_config.json", class);
    for name in others {
        model = model.with(name, name.as_bytes());
    }
    let downloads = |model: Model| -> anyhow::Result<Option<BTreeSet<String>>> {
        let Some(bench) = Bench::with(model)? else {
            return Ok(None);
        };
        bench.succeeds()?;
        Ok(Some(bench.downloads().into_iter().collect()))
    };
    let Some(beside) = downloads(model.clone())? else {
        return Ok(());
    };
    ensure!(beside.contains("vocab.txt"), "{beside:?}");
    ensure!(!others.iter().any(|it| beside.contains(*it)), "{beside:?}");
    let without = downloads(model.without("tokenizer.json"))?.unwrap_or_default();
    for name in others.into_iter().chain(["vocab.txt"]) {
        ensure!(without.contains(name), "{name}: {without:?}");
    }
    Ok(())
}
