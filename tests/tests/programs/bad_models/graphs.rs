//! ONNX files.

use super::{graph, refused, refused_with};
use anyhow::{Context, ensure};
use encoderfile_runtime::onnx::tensor_shape_proto::{Dimension, dimension};
use encoderfile_runtime::onnx::{
    AttributeProto, ModelProto, NodeProto, TensorShapeProto, ValueInfoProto, type_proto,
};
use encoderfile_tests::fixture;
use encoderfile_tests::model_folder::ModelFolder;
use encoderfile_tests::process;
use encoderfile_tests::workbench::Workbench;
use prost::Message;
use std::collections::BTreeSet;

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

/// Declares the axes of an input: `None` for one of any length.
fn declare(input: &mut ValueInfoProto, axes: [Option<i64>; 2]) {
    let of = input.r#type.as_mut().and_then(|it| it.value.as_mut());
    let Some(type_proto::Value::TensorType(tensor)) = of else {
        panic!("an input is a tensor");
    };
    let dims = axes.map(|length| Dimension {
        value: Some(match length {
            Some(length) => dimension::Value::DimValue(length),
            None => dimension::Value::DimParam("any".into()),
        }),
    });
    tensor.shape = Some(TensorShapeProto { dim: dims.into() });
}

#[test]
fn axes_that_are_fixed() -> anyhow::Result<()> {
    let fixed = |axes| {
        graph(move |it| {
            let input = it.input.iter_mut().find(|it| it.name == "attention_mask");
            declare(input.expect("the graph has it"), axes);
        })
    };
    let tokens = "`attention_mask` has tokens at 64; ";
    let words = ["model.onnx", "fixed", tokens, "dynamic axes", "optimum-cli"];
    refused("bert-embedding", &fixed([Some(1), Some(64)]), &words)?;
    refused("bert-embedding", &fixed([None, Some(64)]), &words)?;
    let both = "`attention_mask` has batch at 2 and tokens at 64; ";
    refused("bert-embedding", &fixed([Some(2), Some(64)]), &[both])?;
    let batch = "`attention_mask` has batch at 2; ";
    refused("bert-embedding", &fixed([Some(2), None]), &[batch])
}

/// The engine's words are for those who ask for them.
#[test]
fn what_the_engine_says_is_not_in_the_message() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    let folder = ModelFolder::copy_of("bert-embedding")?;
    // Attention's product has other axes than it should have.
    folder.edit_graph(|it| {
        let mut nodes = it.node.iter_mut();
        let node = nodes.find(|node| node.op_type == "Transpose");
        let order = node.and_then(|node| node.attribute.iter_mut().find(|it| it.name == "perm"));
        order.expect("heads are transposed").ints = vec![3, 1, 0, 2];
    })?;
    let build = |options: &[&str]| {
        let mut build = workbench.tool(&["build", "-o", "out", "--model"]);
        process::finish(build.arg(folder.path()).args(options))
    };
    let silent = build(&[])?;
    let engine = "the engine says: ";
    silent.refused(&["any length", "dynamic axes", "(--verbose says more)"])?;
    let verbose = build(&["--verbose"])?;
    ensure!(verbose.code == Some(1), "{verbose:?}");
    let (message, words) = verbose.stderr.split_once(engine).context("no words")?;
    ensure!(message.lines().count() == 1, "{verbose:?}");
    for word in words.split_whitespace().filter(|it| it.len() > 12) {
        ensure!(!message.contains(word), "{word} in {message}");
    }
    Ok(())
}

#[test]
fn a_weight_that_its_encoding_cannot_hold() -> anyhow::Result<()> {
    let spoil = |value: f32| {
        graph(move |it| {
            let mut tensors = it.initializer.iter_mut();
            let table = tensors.find(|it| it.name.contains("word_embeddings"));
            let table = table.expect("the graph has it");
            let mut bytes = table.raw_data.to_vec();
            // In the row of a word that no stored text has.
            let end = bytes.len() - 4;
            bytes[end..].copy_from_slice(&value.to_le_bytes());
            table.raw_data = bytes.into();
        })
    };
    let words = ["model.onnx", "word_embeddings", "70000", "--weights f32"];
    let fixture = "st-mean-normalize";
    refused_with(fixture, &spoil(7e4), &["--weights", "f16"], &words)?;
    let words = ["model.onnx", "word_embeddings", "NaN", "--weights f32"];
    refused_with(fixture, &spoil(f32::NAN), &["--weights", "int8"], &words)
}
