//! Models that cannot become an encoderfile. Each test spoils one thing of a
//! folder that builds.

mod graphs;
mod settings;

use anyhow::ensure;
use encoderfile_runtime::onnx::GraphProto;
use encoderfile_tests::model_folder::ModelFolder;
use encoderfile_tests::process;
use encoderfile_tests::workbench::Workbench;
use serde_json::{Value, json};

type Spoil<'a> = &'a dyn Fn(&ModelFolder) -> anyhow::Result<()>;

/// Spoils a copy of a fixture and makes sure that `build` refuses it with one
/// line that contains `words`, and leaves nothing behind.
fn refused(fixture: &str, spoil: Spoil<'_>, words: &[&str]) -> anyhow::Result<()> {
    refused_with(fixture, spoil, &[], words)
}

fn refused_with(
    fixture: &str,
    spoil: Spoil<'_>,
    options: &[&str],
    words: &[&str],
) -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    let folder = ModelFolder::copy_of(fixture)?;
    spoil(&folder)?;
    let mut build = workbench.tool(&["build", "-o", "out", "--model"]);
    process::finish(build.arg(folder.path()).args(options))?.refused(words)?;
    ensure!(
        workbench.names()?.is_empty(),
        "left behind: {:?}",
        workbench.names()?
    );
    Ok(())
}

fn config(change: impl Fn(&mut Value)) -> impl Fn(&ModelFolder) -> anyhow::Result<()> {
    move |folder| folder.edit_json("config.json", &change)
}

fn graph(change: impl Fn(&mut GraphProto)) -> impl Fn(&ModelFolder) -> anyhow::Result<()> {
    move |folder| folder.edit_graph(&change)
}

#[test]
fn no_folder() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    workbench.refuses(
        &["build", "--model", "no/such/folder"],
        &["no/such/folder: no such folder"],
    )
}

#[test]
fn no_file_in_it() -> anyhow::Result<()> {
    refused(
        "bert-embedding",
        &|it| it.remove("model.onnx"),
        &["no model.onnx"],
    )?;
    refused(
        "bert-embedding",
        &|it| it.remove("config.json"),
        &["config.json: "],
    )?;
    refused(
        "bert-embedding",
        &|it| it.remove("tokenizer.json"),
        &["tokenizer.json: "],
    )
}

#[test]
fn no_json() -> anyhow::Result<()> {
    let cut = |name: &'static str| {
        move |folder: &ModelFolder| folder.edit(name, |bytes| bytes.truncate(bytes.len() / 2))
    };
    for name in ["config.json", "tokenizer_config.json", "tokenizer.json"] {
        refused("bert-embedding", &cut(name), &[name])?;
    }
    refused("st-cls", &cut("modules.json"), &["modules.json: "])
}

#[test]
fn a_head_that_belongs_to_no_task() -> anyhow::Result<()> {
    let spoil = config(|it| it["architectures"] = json!(["BertForQuestionAnswering"]));
    refused(
        "bert-embedding",
        &spoil,
        &["config.json", "architectures", "BertForQuestionAnswering"],
    )?;
    let spoil = config(|it| it["architectures"] = Value::Null);
    refused("bert-embedding", &spoil, &["config.json", "architectures"])
}

#[test]
fn a_decoder() -> anyhow::Result<()> {
    let spoil = config(|it| it["is_decoder"] = true.into());
    refused(
        "bert-embedding",
        &spoil,
        &["config.json", "not an encoder", "is_decoder"],
    )?;
    let spoil = config(|it| it["architectures"] = json!(["LlamaForCausalLM"]));
    refused(
        "bert-embedding",
        &spoil,
        &["config.json", "not an encoder", "LlamaForCausalLM"],
    )?;
    let spoil = config(|it| it["model_type"] = "gpt2".into());
    refused(
        "bert-embedding",
        &spoil,
        &["config.json", "not an encoder", "gpt2"],
    )
}

#[test]
fn an_encoder_decoder() -> anyhow::Result<()> {
    let spoil = config(|it| it["is_encoder_decoder"] = true.into());
    refused(
        "bert-embedding",
        &spoil,
        &["config.json", "not an encoder", "is_encoder_decoder"],
    )?;
    let spoil = config(|it| it["architectures"] = json!(["BartForConditionalGeneration"]));
    let words = [
        "config.json",
        "not an encoder",
        "BartForConditionalGeneration",
    ];
    refused("bert-embedding", &spoil, &words)
}
