//! Checkpoints that are not what their folder says, each refused by the tensor, file or key at
//! fault, and nothing written.

use anyhow::{Context, ensure};
use encoderfile_tests::model_folder::ModelFolder;
use encoderfile_tests::process;
use encoderfile_tests::workbench::Workbench;
use serde_json::{Map, Value, json};
use std::fs;

const FILE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";
const BIAS: &str = "encoder.layer.1.output.dense.bias";

/// Builds `fixture` as `change` leaves it, which has to be refused in these words.
fn refused(
    fixture: &str,
    change: impl FnOnce(&ModelFolder) -> anyhow::Result<()>,
    words: &[&str],
) -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    let folder = ModelFolder::copy_of(fixture)?;
    change(&folder)?;
    let mut build = workbench.tool(&["build", "-o", "built", "--model"]);
    process::finish(build.arg(folder.path()))?.refused(words)?;
    ensure!(workbench.names()?.is_empty(), "a file was written");
    Ok(())
}

/// Changes what a safetensors file says of its tensors.
fn edit_header(
    folder: &ModelFolder,
    change: impl FnOnce(&mut Map<String, Value>),
) -> anyhow::Result<()> {
    let content = fs::read(folder.file(FILE))?;
    let (length, rest) = content.split_first_chunk().context("no header")?;
    let (header, data) = rest.split_at(usize::try_from(u64::from_le_bytes(*length))?);
    let mut header: Map<String, Value> = serde_json::from_slice(header)?;
    change(&mut header);
    let header = serde_json::to_vec(&header)?;
    let length = (header.len() as u64).to_le_bytes();
    folder.write(FILE, [&length, &*header, data].concat())
}

fn rename(header: &mut Map<String, Value>, from: &str, to: &str) {
    if let Some(tensor) = header.remove(from) {
        header.insert(to.into(), tensor);
    }
}

/// Leaves the checkpoint alone.
fn without_onnx(folder: &ModelFolder) -> anyhow::Result<()> {
    Ok(fs::remove_file(folder.file("model.onnx"))?)
}

#[test]
fn a_tensor_that_is_missing() -> anyhow::Result<()> {
    let change = |folder: &ModelFolder| {
        without_onnx(folder)?;
        edit_header(folder, |header| rename(header, BIAS, "pooler.other"))
    };
    refused("bert-embedding", change, &[FILE, BIAS, "is not there"])
}

#[test]
fn a_tensor_too_many() -> anyhow::Result<()> {
    let more = "encoder.layer.2.output.dense.bias";
    let change = |folder: &ModelFolder| {
        without_onnx(folder)?;
        edit_header(folder, |header| rename(header, "pooler.dense.bias", more))
    };
    refused("bert-embedding", change, &[FILE, more, "settings"])
}

#[test]
fn a_tensor_of_another_shape() -> anyhow::Result<()> {
    let change = |folder: &ModelFolder| {
        without_onnx(folder)?;
        edit_header(folder, |header| header[BIAS]["shape"] = json!([4, 8]))
    };
    refused("bert-embedding", change, &[FILE, BIAS, "[4, 8]", "[32]"])
}

#[test]
fn a_tensor_of_another_type() -> anyhow::Result<()> {
    let change = |folder: &ModelFolder| {
        without_onnx(folder)?;
        edit_header(folder, |header| header[BIAS]["dtype"] = "I32".into())
    };
    refused("bert-embedding", change, &[FILE, BIAS, "I32", "BF16"])
}

#[test]
fn a_tensor_that_is_no_number() -> anyhow::Result<()> {
    let change = |folder: &ModelFolder| {
        without_onnx(folder)?;
        let mut content = fs::read(folder.file(FILE))?;
        let end = content.len() - 4;
        content[end..].copy_from_slice(&f32::NAN.to_le_bytes());
        folder.write(FILE, content)
    };
    refused("distilbert-embedding", change, &[FILE, "NaN"])
}

#[test]
fn a_file_that_is_cut() -> anyhow::Result<()> {
    let change = |folder: &ModelFolder| {
        without_onnx(folder)?;
        let content = fs::read(folder.file(FILE))?;
        folder.write(FILE, &content[..content.len() - 100])
    };
    refused("bert-embedding", change, &[FILE, "incomplete"])
}

#[test]
fn a_shard_that_is_cut_or_gone() -> anyhow::Result<()> {
    let shard = |folder: &ModelFolder| -> anyhow::Result<String> {
        let index: Value = serde_json::from_slice(&fs::read(folder.file(INDEX))?)?;
        let map = index["weight_map"].as_object().context("no map")?;
        let shard = map.values().next_back().and_then(Value::as_str);
        Ok(shard.context("no shard")?.to_owned())
    };
    let cut = |folder: &ModelFolder| {
        let shard = shard(folder)?;
        let content = fs::read(folder.file(&shard))?;
        folder.write(&shard, &content[..content.len() / 2])
    };
    refused("checkpoint-bert-sharded", cut, &["-of-", "incomplete"])?;
    let gone = |folder: &ModelFolder| Ok(fs::remove_file(folder.file(&shard(folder)?))?);
    refused("checkpoint-bert-sharded", gone, &["-of-", "No such file"])
}

#[test]
fn an_index_that_lies() -> anyhow::Result<()> {
    let change = |change: fn(&mut Map<String, Value>)| {
        move |folder: &ModelFolder| {
            folder.edit_json(INDEX, |index| {
                if let Some(map) = index["weight_map"].as_object_mut() {
                    change(map);
                }
            })
        }
    };
    let fixture = "checkpoint-bert-sharded";
    let one_more = change(|map| {
        let shard = map[BIAS].clone();
        map.insert("encoder.other".into(), shard);
    });
    refused(fixture, one_more, &[INDEX, "encoder.other", "is not in"])?;
    let one_less = change(|map| {
        map.remove(BIAS);
    });
    refused(fixture, one_less, &[INDEX, BIAS, "not listed"])?;
    let elsewhere = change(|map| map[BIAS] = "../model.safetensors".into());
    refused(fixture, elsewhere, &[INDEX, BIAS, "no file beside it"])?;
    let other = change(|map| {
        let names: Vec<Value> = map.values().cloned().collect();
        let own = map[BIAS].clone();
        let other = names.into_iter().find(|name| *name != own);
        map[BIAS] = other.unwrap_or_default();
    });
    refused(fixture, other, &[INDEX, BIAS, "not in"])
}

#[test]
fn a_setting_that_is_not_known_or_not_served() -> anyhow::Result<()> {
    for (key, value) in [
        ("some_new_scale", json!(0.5)),
        ("position_embedding_type", json!("relative_key")),
        ("hidden_act", json!("mish")),
        ("num_attention_heads", json!(5)),
        ("num_hidden_layers", json!(1_000_000_000)),
        ("hidden_size", Value::Null),
    ] {
        let change = |folder: &ModelFolder| {
            without_onnx(folder)?;
            folder.edit_json("config.json", |config| config[key] = value.clone())
        };
        refused("bert-embedding", change, &["config.json", key])?;
    }
    Ok(())
}

#[test]
fn an_architecture_without_a_graph() -> anyhow::Result<()> {
    let change = |folder: &ModelFolder| {
        without_onnx(folder)?;
        folder.edit_json("config.json", |config| {
            config["model_type"] = "canine".into();
        })
    };
    let words = ["config.json", "model_type", "canine", "optimum-cli export"];
    refused("bert-embedding", change, &words)
}

#[test]
fn weights_are_stored_as_they_lie_in_the_checkpoint() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    // Beside ONNX the graph is what is built, unless the checkpoint is named.
    for (fixture, options, encoding) in [
        ("bert-embedding", vec!["--weights-file", FILE], "f32"),
        ("checkpoint-bert-float16", vec![], "f16"),
        ("checkpoint-roberta-bfloat16", vec![], "f32"),
    ] {
        workbench.build(fixture, &options, "model.encoderfile")?;
        let inspect = ["inspect", "--json", "model.encoderfile"];
        let description = workbench.run(&inspect)?.json()?;
        ensure!(
            description["weights"]["encoding"] == encoding,
            "{fixture}: {}",
            description["weights"]
        );
    }
    Ok(())
}
