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
    edit_file(folder, |header, _| change(header))
}

/// The same, and the tensors' bytes.
fn edit_file(
    folder: &ModelFolder,
    change: impl FnOnce(&mut Map<String, Value>, &mut Vec<u8>),
) -> anyhow::Result<()> {
    let (mut header, mut data) = parts(folder)?;
    change(&mut header, &mut data);
    let header = serde_json::to_vec(&header)?;
    let length = (header.len() as u64).to_le_bytes();
    folder.write(FILE, [&length, &*header, &data].concat())
}

/// The header of a safetensors file, and what follows it.
fn parts(folder: &ModelFolder) -> anyhow::Result<(Map<String, Value>, Vec<u8>)> {
    let content = fs::read(folder.file(FILE))?;
    let (length, rest) = content.split_first_chunk().context("no header")?;
    let (header, data) = rest.split_at(usize::try_from(u64::from_le_bytes(*length))?);
    Ok((serde_json::from_slice(header)?, data.to_vec()))
}

/// A tensor's bytes.
fn tensor(folder: &ModelFolder, name: &str) -> anyhow::Result<Vec<u8>> {
    let (header, data) = parts(folder)?;
    let offsets: [usize; 2] = serde_json::from_value(header[name]["data_offsets"].clone())?;
    Ok(data[offsets[0]..offsets[1]].to_vec())
}

/// Adds a tensor of float32 values.
fn add_tensor(
    folder: &ModelFolder,
    name: &str,
    shape: &[usize],
    bytes: &[u8],
) -> anyhow::Result<()> {
    edit_file(folder, |header, data| {
        let offsets = [data.len(), data.len() + bytes.len()];
        let tensor = json!({ "dtype": "F32", "shape": shape, "data_offsets": offsets });
        header.insert(name.into(), tensor);
        data.extend(bytes);
    })
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
        ("hidden_act", json!("xielu")),
        ("num_attention_heads", json!(5)),
        ("type_vocab_size", json!(0)),
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

/// Settings that an architecture's graph would not follow.
#[test]
fn a_setting_that_an_architecture_does_not_serve() -> anyhow::Result<()> {
    let nomic = "checkpoint-nomic_bert-embedding";
    let jina = "checkpoint-jina-bert-embedding";
    let new = "checkpoint-new-embedding";
    let gemma = "checkpoint-gemma3_text-embedding";
    let modernbert = "checkpoint-modernbert-layer_types";
    are_refused(&[
        (jina, "feed_forward_type", json!("reglu")),
        (jina, "position_embedding_type", json!("absolute")),
        (jina, "qk_norm", json!(true)),
        (nomic, "qkv_proj_bias", json!(true)),
        (nomic, "mlp_fc1_bias", Value::Null),
        (nomic, "rotary_emb_fraction", json!(0.5)),
        (nomic, "rotary_emb_interleaved", json!(true)),
        (nomic, "rotary_scaling_factor", json!(2)),
        (nomic, "activation_function", json!("gelu")),
        (nomic, "prenorm", json!(true)),
        (nomic, "causal", json!(true)),
        (nomic, "num_experts", json!(8)),
        (nomic, "hidden_size", json!(64)),
        (nomic, "layer_norm_eps", json!(0.5)),
        (nomic, "rope_parameters", json!({"rope_theta": 5})),
        (new, "logn_attention_scale", json!(true)),
        (new, "layer_norm_type", json!("rms_norm")),
        (new, "position_embedding_type", json!("absolute")),
        (
            new,
            "rope_scaling",
            json!({"type": "dynamic", "factor": 2.0}),
        ),
        (
            new,
            "rope_scaling",
            json!({"type": "ntk", "factor": 2.0, "mixed_b": 0.5}),
        ),
        (new, "rope_theta", Value::Null),
        (
            "checkpoint-eurobert-embedding",
            "rope_parameters",
            json!({"rope_type": "yarn", "factor": 2.0}),
        ),
        (
            "checkpoint-eurobert-embedding",
            "num_key_value_heads",
            json!(3),
        ),
        (gemma, "attn_logit_softcapping", json!(50.0)),
        // Before anything is made for each of so many values.
        (gemma, "head_dim", json!(1_u64 << 40)),
        (gemma, "layer_types", json!(["full_attention"])),
        (modernbert, "layer_types", json!(["full_attention", "mean"])),
        (modernbert, "rope_parameters", json!({"full_attention": 1})),
        (
            "checkpoint-deberta-v2-convolution",
            "conv_kernel_size",
            json!(4),
        ),
        (
            "checkpoint-deberta-v2-convolution",
            "attention_head_size",
            json!(16),
        ),
    ])
}

#[test]
fn a_setting_of_scaled_positions_and_of_other_names() -> anyhow::Result<()> {
    let modernbert = "checkpoint-modernbert-layer_types";
    let distilbert = "checkpoint-distilbert-other-names";
    // transformers 4 scales by a type of this name, and 5 does not.
    let by_type = json!({"type": "linear", "factor": 2.0});
    let yarn = json!({"rope_type": "yarn", "factor": 2.0});
    are_refused(&[
        (modernbert, "rope_scaling", yarn),
        (modernbert, "rope_scaling", by_type.clone()),
        ("checkpoint-gemma3_text-embedding", "rope_scaling", by_type),
        // By the name that config.json has for it.
        (distilbert, "num_attention_heads", json!(5)),
        (distilbert, "num_hidden_layers", json!("2")),
    ])
}

#[test]
fn a_setting_that_xlm_and_flaubert_do_not_serve() -> anyhow::Result<()> {
    let xlm = "checkpoint-xlm-sequence_classification";
    let flaubert = "checkpoint-flaubert-fill_mask";
    are_refused(&[
        (xlm, "causal", json!(true)),
        (xlm, "is_encoder", json!(false)),
        (xlm, "n_heads", json!(5)),
        (xlm, "pre_norm", json!(true)),
        (xlm, "summary_type", json!("attn")),
        (xlm, "summary_use_proj", json!(false)),
        (xlm, "summary_proj_to_labels", json!(false)),
        (xlm, "summary_activation", json!("xielu")),
        (flaubert, "asm", json!(true)),
        (flaubert, "causal", json!(true)),
    ])
}

/// Builds each fixture with one value of config.json changed, which has to be refused by its key.
fn are_refused(settings: &[(&str, &str, Value)]) -> anyhow::Result<()> {
    for (fixture, key, value) in settings {
        let change = |folder: &ModelFolder| {
            folder.edit_json("config.json", |config| config[*key] = value.clone())
        };
        refused(fixture, change, &["config.json", key])
            .with_context(|| format!("{fixture}: {key}: {value}"))?;
    }
    Ok(())
}

/// Code of the folder's own is never run, and what it computes is known of few classes.
#[test]
fn code_that_is_not_known() -> anyhow::Result<()> {
    let model = |class: &str| json!({"AutoModel": format!("someone/code--modeling.{class}")});
    for (fixture, classes) in [
        ("bert-embedding", model("OtherBertModel")),
        ("checkpoint-nomic_bert-embedding", model("OtherModel")),
        ("checkpoint-new-embedding", Value::Null),
        ("checkpoint-jina-bert-embedding", model("BertModel")),
        ("checkpoint-new-embedding", json!({"AutoModel": 1})),
    ] {
        let change = |folder: &ModelFolder| {
            if fixture == "bert-embedding" {
                without_onnx(folder)?;
            }
            folder.edit_json("config.json", |config| config["auto_map"] = classes.clone())
        };
        refused(fixture, change, &["config.json", "auto_map"])?;
    }
    Ok(())
}

#[test]
fn a_decoder_that_is_not_what_the_config_says() -> anyhow::Result<()> {
    let own = "cls.predictions.decoder.weight";
    let tie = |tied: bool| {
        move |folder: &ModelFolder| {
            folder.edit_json("config.json", |config| {
                config["tie_word_embeddings"] = tied.into();
            })
        }
    };
    let untied = "checkpoint-bert-untied-fill_mask";
    let words = [FILE, own, "is not a copy", "tie_word_embeddings"];
    refused(untied, tie(true), &words)?;
    let tied = "checkpoint-bert-fill_mask";
    refused(tied, tie(false), &[FILE, own, "is not there"])?;
    // A second bias, and a copy of the words' table.
    let bias = "cls.predictions.decoder.bias";
    let other = |folder: &ModelFolder| add_tensor(folder, bias, &[700], &[0; 4 * 700]);
    refused(tied, other, &[FILE, bias, "is not a copy"])?;
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    let folder = ModelFolder::copy_of(tied)?;
    let words = tensor(&folder, "bert.embeddings.word_embeddings.weight")?;
    add_tensor(&folder, own, &[700, 32], &words)?;
    let mut build = workbench.tool(&["build", "-o", "built", "--model"]);
    process::finish(build.arg(folder.path()))?.succeeded()?;
    Ok(())
}

/// `block_sparse` is full attention of texts that have no more tokens than its blocks.
#[test]
fn block_sparse_attention_of_longer_texts() -> anyhow::Result<()> {
    let fixture = "checkpoint-big_bird-block_sparse";
    let change = |folder: &ModelFolder| {
        folder.edit_json("config.json", |config| {
            config["num_random_blocks"] = 1.into();
        })
    };
    let words = ["config.json", "attention_type", "64", "--max-length 56"];
    refused(fixture, change, &words)?;
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    let folder = ModelFolder::copy_of(fixture)?;
    change(&folder)?;
    let mut build = workbench.tool(&["build", "--max-length", "56", "-o", "built", "--model"]);
    process::finish(build.arg(folder.path()))?.succeeded()?;
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
