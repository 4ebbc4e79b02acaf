//! Models that cannot become an encoderfile. Each test spoils one thing of a
//! folder that builds.

use crate::workshop::Workshop;
use anyhow::{Context, ensure};
use encoderfile_runtime::onnx::{AttributeProto, GraphProto, ModelProto, NodeProto, type_proto};
use encoderfile_tests::fixture;
use encoderfile_tests::model_folder::ModelFolder;
use encoderfile_tests::process;
use prost::Message;
use serde_json::{Value, json};
use std::collections::BTreeSet;

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
    let Some(workshop) = Workshop::open()? else {
        return Ok(());
    };
    let folder = ModelFolder::copy_of(fixture)?;
    spoil(&folder)?;
    let mut build = workshop.tool(&["build", "-o", "out", "--model"]);
    process::finish(build.arg(folder.path()).args(options))?.refused(words)?;
    ensure!(
        workshop.names()?.is_empty(),
        "left behind: {:?}",
        workshop.names()?
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
    let Some(workshop) = Workshop::open()? else {
        return Ok(());
    };
    workshop.refuses(
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

#[test]
fn an_operator_that_is_not_served() -> anyhow::Result<()> {
    let spoil = graph(|it| {
        let node = it.node.iter_mut().find(|node| node.op_type == "Softmax");
        let node = node.expect("attention has a softmax");
        node.op_type = "SoftmaxButBetter".into();
        node.name = "/layer.0/better".into();
    });
    refused(
        "bert-embedding",
        &spoil,
        &["model.onnx", "SoftmaxButBetter", "/layer.0/better"],
    )?;
    let spoil = graph(|it| {
        let node = it.node.last_mut().expect("a graph has nodes");
        node.domain = "com.example".into();
    });
    refused(
        "bert-embedding",
        &spoil,
        &["model.onnx", "operator com.example."],
    )
}

#[test]
fn an_input_that_nothing_provides() -> anyhow::Result<()> {
    let rename = |from: &'static str, to: &'static str| {
        graph(move |it| {
            let input = it.input.iter_mut().find(|input| input.name == from);
            input.expect("the graph has it").name = to.into();
            let inputs = it.node.iter_mut().flat_map(|node| &mut node.input);
            inputs
                .filter(|name| *name == from)
                .for_each(|name| *name = to.into());
        })
    };
    let spoil = rename("attention_mask", "pixel_values");
    refused("bert-embedding", &spoil, &["model.onnx", "pixel_values"])?;
    let spoil = rename("input_ids", "ids");
    refused("bert-embedding", &spoil, &["model.onnx", "`ids`"])?;
    let spoil = graph(|it| it.input.retain(|input| input.name != "input_ids"));
    refused("bert-embedding", &spoil, &["model.onnx", "input_ids"])
}

#[test]
fn an_input_of_another_type() -> anyhow::Result<()> {
    const FLOAT: i32 = 1;
    let spoil = graph(|it| {
        let input = it.input.iter_mut().find(|input| input.name == "input_ids");
        let of = input.and_then(|input| input.r#type.as_mut()?.value.as_mut());
        let Some(type_proto::Value::TensorType(tensor)) = of else {
            panic!("`input_ids` is a tensor");
        };
        tensor.elem_type = FLOAT;
    });
    refused(
        "bert-embedding",
        &spoil,
        &["model.onnx", "`input_ids`", "Float"],
    )
}

#[test]
fn no_onnx() -> anyhow::Result<()> {
    let half = |folder: &ModelFolder| folder.edit("model.onnx", |it| it.truncate(it.len() / 2));
    refused("bert-embedding", &half, &["model.onnx: "])?;
    let empty = |folder: &ModelFolder| folder.write("model.onnx", "");
    refused("bert-embedding", &empty, &["model.onnx: "])?;
    let text = |folder: &ModelFolder| folder.write("model.onnx", "version https://git-lfs…");
    refused("bert-embedding", &text, &["model.onnx: "])
}

#[test]
fn a_tensor_file_that_is_not_there() -> anyhow::Result<()> {
    let spoil = graph(|it| {
        use encoderfile_runtime::weights::{Encoding, External};
        let tensor = it
            .initializer
            .iter_mut()
            .find(|it| it.dims.len() == 2 && !it.raw_data.is_empty());
        let tensor = tensor.expect("a graph has matrices");
        let length = tensor.raw_data.len() as u64;
        tensor.raw_data.clear();
        let place = External {
            offset: 0,
            length,
            encoding: Encoding::Plain,
        };
        tensor.external_data = place.to_entries();
        tensor.external_data[0].value = "model.onnx_data".into();
        tensor.data_location = 1;
    });
    refused("bert-embedding", &spoil, &["model.onnx_data"])
}

#[test]
fn a_tensor_file_that_is_cut_or_elsewhere() -> anyhow::Result<()> {
    let cut = |folder: &ModelFolder| {
        folder.edit("onnx/model.onnx_data", |bytes| {
            bytes.truncate(bytes.len() / 2);
        })
    };
    let words = ["onnx/model.onnx: tensor `", "model.onnx_data: "];
    refused("files-external-data", &cut, &words)?;
    let elsewhere = |location: &'static str| {
        move |folder: &ModelFolder| {
            folder.edit_model("onnx/model.onnx", |model| {
                let graph = model.graph.as_mut().expect("it has one");
                let mut tensors = graph.initializer.iter_mut();
                let outside = tensors.find(|it| !it.external_data.is_empty());
                let entries = &mut outside.expect("it has some").external_data;
                let place = entries.iter_mut().find(|it| it.key == "location");
                place.expect("it is somewhere").value = location.into();
            })
        }
    };
    for location in ["../model.onnx_data", "/etc/passwd", ""] {
        let words = ["onnx/model.onnx: tensor `"];
        refused("files-external-data", &elsewhere(location), &words)?;
    }
    let other_shape = graph(|it| {
        let mut tensors = it.initializer.iter_mut();
        let matrix = tensors.find(|it| it.dims.len() == 2 && !it.raw_data.is_empty());
        matrix.expect("a graph has matrices").dims[0] += 1;
    });
    let words = ["model.onnx: tensor `", "bytes for the shape"];
    refused("bert-embedding", &other_shape, &words)
}

#[test]
fn an_opset_that_is_too_old() -> anyhow::Result<()> {
    let spoil = |folder: &ModelFolder| {
        folder.edit_model("model.onnx", |model| model.opset_import[0].version = 9)
    };
    refused(
        "bert-embedding",
        &spoil,
        &["model.onnx", "opset", "9", "11"],
    )
}

/// Changes the first node with that operator.
fn node(
    op_type: &'static str,
    change: impl Fn(&mut NodeProto),
) -> impl Fn(&ModelFolder) -> anyhow::Result<()> {
    graph(move |it| {
        let mut nodes = it.node.iter_mut();
        if let Some(node) = nodes.find(|node| node.op_type == op_type) {
            change(node);
        }
    })
}

#[test]
fn an_attribute_that_an_operator_cannot_have() -> anyhow::Result<()> {
    let spoil = node("Gather", |node| {
        node.name = "/embeddings/rows".into();
        let axis = node.attribute.iter_mut().find(|it| it.name == "axis");
        match axis {
            Some(axis) => axis.r#type = 3,
            None => node.attribute.push(AttributeProto {
                name: "axis".into(),
                r#type: 3,
                ..AttributeProto::default()
            }),
        }
    });
    let words = [
        "/embeddings/rows",
        "Gather",
        "`axis` is a String, not a Int",
    ];
    refused("bert-embedding", &spoil, &words)
}

#[test]
fn attention_that_is_not_served() -> anyhow::Result<()> {
    const INT: i32 = 2;
    let causal = node("Attention", |node| {
        node.attribute.push(AttributeProto {
            name: "unidirectional".into(),
            r#type: INT,
            i: 1,
            ..AttributeProto::default()
        });
    });
    let words = ["model.onnx", "com.microsoft.Attention", "unidirectional"];
    refused("files-optimized-O2", &causal, &words)?;
    // It might mask what is no padding.
    let other_mask = node("Attention", |node| node.input[3] = "token_type_ids".into());
    let words = ["com.microsoft.Attention", "mask `token_type_ids`"];
    refused("files-optimized-O2", &other_mask, &words)?;
    let past = node("Attention", |node| {
        node.input.truncate(4);
        node.input.push("attention_mask".into());
    });
    let words = ["com.microsoft.Attention", "a past state is not supported"];
    refused("files-optimized-O2", &past, &words)
}

/// Models that have most operators between them.
const MANY_OPERATORS: [&str; 4] = [
    "deberta-v2-embedding",
    "files-fused-operators",
    "files-int8-optimized",
    "files-int8-session",
];

#[test]
fn a_node_without_inputs() -> anyhow::Result<()> {
    for fixture in MANY_OPERATORS {
        let model = fixture::folder(fixture).join("model.onnx");
        let model = ModelProto::decode(&*std::fs::read(model)?)?;
        let nodes = model.graph.unwrap_or_default().node;
        let with_inputs = nodes.into_iter().filter(|node| !node.input.is_empty());
        let op_types: BTreeSet<String> = with_inputs.map(|node| node.op_type).collect();
        for op_type in op_types {
            let spoil = graph(|it| {
                let mut nodes = it.node.iter_mut();
                if let Some(node) = nodes.find(|node| node.op_type == op_type) {
                    node.input.clear();
                }
            });
            refused(fixture, &spoil, &["node `"])
                .with_context(|| format!("{op_type} of {fixture}"))?;
        }
    }
    Ok(())
}

#[test]
fn static_quantisation() -> anyhow::Result<()> {
    let spoil = node("DynamicQuantizeLinear", |node| {
        node.op_type = "QuantizeLinear".into();
        node.name = "/encoder/static".into();
    });
    let words = [
        "model.onnx",
        "QuantizeLinear",
        "/encoder/static",
        "--weights int8",
    ];
    refused("files-int8", &spoil, &words)
}

#[test]
fn a_pooled_output_for_another_task() -> anyhow::Result<()> {
    let options = ["--task", "embedding"];
    let words = [
        "model.onnx",
        "`sentence_embedding` has rank 2, expected 3",
        "--task sentence_embedding",
    ];
    refused_with("files-pooled", &|_| Ok(()), &options, &words)
}

#[test]
fn an_output_that_does_not_fit_the_task() -> anyhow::Result<()> {
    let options = ["--task", "sequence_classification"];
    refused_with(
        "bert-embedding",
        &|_| Ok(()),
        &options,
        &["model.onnx", "rank 3, expected 2"],
    )?;
    let options = ["--task", "embedding"];
    let words = ["model.onnx", "`logits`", "rank 2, expected 3"];
    refused_with(
        "bert-sequence_classification",
        &|_| Ok(()),
        &options,
        &words,
    )
}

#[test]
fn labels_that_do_not_match() -> anyhow::Result<()> {
    let drop = |it: &mut Value| {
        it["id2label"]
            .as_object_mut()
            .expect("the fixture has labels")
            .remove("2");
    };
    let words = [
        "config.json",
        "`id2label` has 2 labels, the model has 3 logits",
    ];
    refused("bert-sequence_classification", &config(drop), &words)?;
    let gap = config(|it| {
        let labels = it["id2label"]
            .as_object_mut()
            .expect("the fixture has labels");
        let label = labels.remove("2").expect("it has three");
        labels.insert("7".into(), label);
    });
    refused(
        "bert-sequence_classification",
        &gap,
        &["config.json", "id2label"],
    )
}

#[test]
fn a_tokenizer_that_does_not_fit() -> anyhow::Result<()> {
    let spoil = |folder: &ModelFolder| {
        folder.edit_json("tokenizer.json", |it| {
            it["model"]["vocab"]["far"] = 70_000.into();
        })
    };
    refused(
        "bert-embedding",
        &spoil,
        &["tokenizer.json", "70000", "700 rows"],
    )?;
    let spoil = |folder: &ModelFolder| {
        folder.edit_json("tokenizer.json", |it| {
            it["model"]["type"] = "Phonemes".into();
        })
    };
    refused("bert-embedding", &spoil, &["tokenizer.json"])
}

#[test]
fn nothing_says_how_long_a_text_may_be() -> anyhow::Result<()> {
    let spoil = |folder: &ModelFolder| {
        folder.edit_json("config.json", |it| {
            it["max_position_embeddings"] = Value::Null;
        })?;
        folder.edit_json("tokenizer_config.json", |it| {
            it["model_max_length"] = json!(1e30);
        })
    };
    refused("bert-embedding", &spoil, &["config.json", "--max-length"])
}

#[test]
fn a_limit_without_room_for_text() -> anyhow::Result<()> {
    refused_with(
        "bert-embedding",
        &|_| Ok(()),
        &["--max-length", "2"],
        &["2 tokens", "special"],
    )
}

#[test]
fn an_unknown_module_or_pooling() -> anyhow::Result<()> {
    let spoil = |folder: &ModelFolder| {
        folder.edit_json("modules.json", |it| {
            it[1]["type"] = "my_package.MyPooling".into();
        })
    };
    refused("st-cls", &spoil, &["modules.json", "my_package.MyPooling"])?;
    // As jina-embeddings-v3 has it: code in the folder, that would have to be run.
    let own = |folder: &ModelFolder| {
        folder.edit_json("modules.json", |it| {
            it[0]["type"] = "custom_st.Transformer".into();
        })
    };
    refused("st-cls", &own, &["modules.json", "custom_st.Transformer"])?;
    // The older form of the file has one boolean a mode.
    let old = |folder: &ModelFolder| {
        folder.edit_json("1_Pooling/config.json", |it| {
            it["pooling_mode_attention"] = true.into();
        })
    };
    refused(
        "st-mean-normalize",
        &old,
        &["1_Pooling/config.json", "pooling_mode_attention"],
    )?;
    let new = |folder: &ModelFolder| {
        folder.edit_json("1_Pooling/config.json", |it| {
            it["pooling_mode"] = "attention".into();
        })
    };
    refused("st-cls", &new, &["1_Pooling/config.json", "attention"])
}

/// Every key that could change a result and is not served, by its file.
#[test]
fn keys_that_are_not_served_are_named() -> anyhow::Result<()> {
    let settings = "config_sentence_transformers.json";
    let transformer = "sentence_bert_config.json";
    let (pooling, dense) = ("1_Pooling/config.json", "2_Dense/config.json");
    let st = "st-mean-dense-normalize";
    let cases = [
        (st, settings, "truncate_dim", json!(0)),
        (st, settings, "truncate_dim", json!(33)),
        (st, settings, "default_prompt_name", json!("nobody")),
        (st, settings, "prompts", json!(["query: "])),
        (st, settings, "similarity_fn_name", json!("hamming")),
        (st, settings, "max_active_dims", json!(7)),
        (st, transformer, "max_seq_length", json!("long")),
        (st, transformer, "do_lower_case", json!("yes")),
        (
            st,
            transformer,
            "transformer_task",
            json!("text-generation"),
        ),
        (
            st,
            transformer,
            "model_args",
            json!({"add_pooling_layer": true}),
        ),
        (
            st,
            transformer,
            "tokenizer_args",
            json!({"padding_side": "left"}),
        ),
        (st, transformer, "a_new_key", json!(1)),
        (st, pooling, "include_prompt", json!("no")),
        (st, pooling, "pooling_mode_mean_tokens", json!(1)),
        (st, dense, "activation_function", json!("my.Swish")),
        (
            st,
            dense,
            "activation_function",
            json!("torch.nn.modules.activation.Mish"),
        ),
        (st, dense, "module_input_name", json!("token_embeddings")),
        (st, dense, "bias", json!("yes")),
        (st, dense, "out_features", json!(0)),
        (st, dense, "dropout", json!(0.1)),
        ("st-cls", pooling, "pooling_mode", json!([])),
        ("st-cls", pooling, "pooling_mode", json!(["cls", "median"])),
        (
            "bert-sequence_classification",
            "config.json",
            "sbert_ce_default_activation_function",
            json!("my.Function"),
        ),
        (
            "bert-embedding",
            "tokenizer_config.json",
            "truncation_side",
            json!("middle"),
        ),
    ];
    for (fixture, file, key, value) in cases {
        let spoil = |folder: &ModelFolder| folder.edit_json(file, |it| it[key] = value.clone());
        // The embedding's width is known only when everything has been read.
        let words = if key == "truncate_dim" && value == 33 {
            [settings, key]
        } else {
            [file, key]
        };
        refused(fixture, &spoil, &words).with_context(|| format!("{file} {key} {value}"))?;
    }
    Ok(())
}

#[test]
fn modules_in_an_order_that_makes_no_sense() -> anyhow::Result<()> {
    let swap = |folder: &ModelFolder| {
        folder.edit_json("modules.json", |it| {
            if let Some(modules) = it.as_array_mut() {
                modules.swap(1, 2);
            }
        })
    };
    refused("st-mean-dense-normalize", &swap, &["modules.json", "Dense"])?;
    let outside = |folder: &ModelFolder| {
        folder.edit_json("modules.json", |it| it[1]["path"] = "../1_Pooling".into())
    };
    refused(
        "st-cls",
        &outside,
        &["modules.json", "`path`", "../1_Pooling"],
    )?;
    let none = |folder: &ModelFolder| folder.edit_json("modules.json", |it| *it = json!([]));
    refused("st-cls", &none, &["modules.json"])
}

#[test]
fn a_dense_module_whose_weights_do_not_fit() -> anyhow::Result<()> {
    let st = "st-mean-dense-normalize";
    let weights = "2_Dense/model.safetensors";
    let gone = |folder: &ModelFolder| folder.remove(weights);
    refused(st, &gone, &[weights])?;
    let pickled = |folder: &ModelFolder| {
        folder.remove(weights)?;
        folder.write("2_Dense/pytorch_model.bin", b"PK")
    };
    refused(st, &pickled, &["pytorch_model.bin", "safetensors"])?;
    let cut = |folder: &ModelFolder| folder.edit(weights, |bytes| bytes.truncate(100));
    refused(st, &cut, &[weights])?;
    let narrow = |folder: &ModelFolder| {
        folder.edit_json("2_Dense/config.json", |it| it["in_features"] = 31.into())
    };
    refused(st, &narrow, &[weights, "linear.weight", "shape"])
}

#[test]
fn a_masked_language_model_without_a_mask() -> anyhow::Result<()> {
    let spoil = |folder: &ModelFolder| {
        folder.edit_json("tokenizer_config.json", |it| {
            it["mask_token"] = "[HOLE]".into();
        })
    };
    refused_with(
        "bert-sequence_classification",
        &spoil,
        &["--task", "fill_mask"],
        &["tokenizer_config.json", "mask_token", "[HOLE]"],
    )
}

#[test]
fn an_activation_that_is_not_served() -> anyhow::Result<()> {
    let spoil = config(|it| it["problem_type"] = "ranking".into());
    refused(
        "bert-sequence_classification",
        &spoil,
        &["config.json", "problem_type", "ranking"],
    )
}
