//! Outputs, labels, tokenizers, and what sentence-transformers folders say.

use super::{config, refused, refused_with};
use anyhow::Context;
use encoderfile_tests::model_folder::ModelFolder;
use encoderfile_tests::process;
use encoderfile_tests::workbench::Workbench;
use serde_json::{Value, json};

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
    // Rotary positions have no table that would say it.
    refused(
        "modernbert-embedding",
        &spoil,
        &["config.json", "--max-length"],
    )
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
            "cls-pair-rerank",
            "tokenizer_config.json",
            "chat_template",
            json!("{% for message in messages %}{{ message.content }}{% endfor %}"),
        ),
        (
            "bert-embedding",
            "tokenizer_config.json",
            "truncation_side",
            json!("middle"),
        ),
    ];
    each_is_named(&cases)
}

/// The same of what only sentence-transformers 6 writes.
#[test]
fn newer_keys_that_are_not_served_are_named() -> anyhow::Result<()> {
    let st = "st-mean-dense-normalize";
    let settings = "config_sentence_transformers.json";
    let transformer = "sentence_bert_config.json";
    let norm = "3_Normalize/config.json";
    each_is_named(&[
        (st, settings, "model_type", json!("MultiVectorEncoder")),
        (st, settings, "query_length", json!(32)),
        (
            st,
            transformer,
            "modality_config",
            json!({"text": {"method": "forward", "method_output_name": ["hidden_states", 1]}}),
        ),
        (
            st,
            transformer,
            "modality_config",
            json!({"text": {"method": "forward", "method_output_name": "pooler_output"}}),
        ),
        (st, norm, "module_input_name", json!("token_embeddings")),
        (st, norm, "module_output_name", json!("token_embeddings")),
        (st, norm, "p", json!(1)),
    ])
}

/// A fixture, its file, the key that is set there, and to what.
type Key<'a> = (&'a str, &'a str, &'a str, Value);

fn each_is_named(cases: &[Key<'_>]) -> anyhow::Result<()> {
    for &(fixture, file, key, ref value) in cases {
        let spoil = |folder: &ModelFolder| {
            if !folder.path().join(file).exists() {
                folder.write(file, b"{}")?;
            }
            folder.edit_json(file, |it| it[key] = value.clone())
        };
        refused(fixture, &spoil, &[file, key]).with_context(|| format!("{file} {key} {value}"))?;
    }
    Ok(())
}

#[test]
fn modules_of_one_name() -> anyhow::Result<()> {
    let spoil = |folder: &ModelFolder| {
        folder.edit_json("modules.json", |it| it[2]["name"] = it[1]["name"].clone())
    };
    refused(
        "st-mean-dense-normalize",
        &spoil,
        &["modules.json", "`name`"],
    )
}

/// What sentence-transformers writes, and what changes no number.
#[test]
fn keys_that_say_nothing_are_taken() -> anyhow::Result<()> {
    let settings = "config_sentence_transformers.json";
    let transformer = "sentence_bert_config.json";
    let norm = "3_Normalize/config.json";
    let cases = [
        (settings, "requirements", json!({"pytorch": ">=2"})),
        (settings, "query_length", Value::Null),
        (settings, "default_prompt_name", json!("document")),
        (transformer, "processing_kwargs", json!({"text": {}})),
        (norm, "module_input_name", json!("sentence_embedding")),
    ];
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    for (file, key, value) in cases {
        let folder = ModelFolder::copy_of("st-mean-dense-normalize")?;
        if !folder.path().join(file).exists() {
            folder.write(file, b"{}")?;
        }
        folder.edit_json(file, |it| it[key] = value.clone())?;
        let mut build = workbench.tool(&["build", "-o", "out", "--model"]);
        process::succeed(build.arg(folder.path())).with_context(|| format!("{file} {key}"))?;
    }
    Ok(())
}

#[test]
fn a_chat_template_beside_a_reranker() -> anyhow::Result<()> {
    let spoil = |folder: &ModelFolder| folder.write("chat_template.jinja", b"{{ messages }}");
    refused(
        "cls-pair-rerank",
        &spoil,
        &["chat_template.jinja", "`chat_template`"],
    )
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
