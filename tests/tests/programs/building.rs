//! What `build`, `inspect` and `extract` make of a model that is in order.

use anyhow::{Context, ensure};
use encoderfile::Payload;
use encoderfile::container::ArtifactKind;
use encoderfile::onnx::attribute_proto::AttributeType;
use encoderfile::onnx::tensor_proto::DataType;
use encoderfile::onnx::{AttributeProto, GraphProto, NodeProto, TensorProto};
use encoderfile::weights::{External, TENSOR_ALIGNMENT};
use encoderfile_tests::fixture;
use encoderfile_tests::model_folder::ModelFolder;
use encoderfile_tests::process;
use encoderfile_tests::target::WASI;
use encoderfile_tests::workbench::Workbench;
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::sync::Arc;

/// What `infer` prints for a text.
fn infer(workbench: &Workbench, program: &Path) -> anyhow::Result<Vec<u8>> {
    let text = "You really did it very well.";
    let mut command = workbench.program(program, &["infer", text]);
    Ok(process::succeed(&mut command)?.stdout)
}

fn inspect(workbench: &Workbench, file: &str) -> anyhow::Result<Value> {
    workbench.run(&["inspect", "--json", file])?.json()
}

/// The bytes of the weights in a file that is described.
fn weights_length(description: &Value) -> anyhow::Result<u64> {
    let artifacts = description["artifacts"]
        .as_array()
        .context("no artifacts")?;
    let weights = artifacts.iter().find(|it| it["artifact"] == "weights");
    weights
        .and_then(|it| it["length"].as_u64())
        .context("no weights")
}

#[test]
fn the_same_folder_gives_the_same_bytes() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    for target in [None, Some(WASI), Some("bundle")] {
        let options = target.map_or(vec![], |target| vec!["--target", target]);
        workbench.build("st-mean-normalize", &options, "one")?;
        // From a copy elsewhere, with another path on the command line.
        let copy = ModelFolder::copy_of("st-mean-normalize")?;
        let mut build = workbench.tool(&["build", "-o", "other", "--name", "st-mean-normalize"]);
        build.arg("--model").arg(copy.path());
        process::succeed(build.args(&options))?;
        let (one, other) = (workbench.read("one")?, workbench.read("other")?);
        ensure!(one == other, "{target:?}: other bytes");
    }
    Ok(())
}

#[cfg(unix)]
#[test]
fn programs_are_executable_and_bundles_are_not() -> anyhow::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    let mode = |path: &Path| anyhow::Ok(fs::metadata(path)?.permissions().mode() & 0o777);
    let native = workbench.build("bert-embedding", &[], "native")?;
    let module = workbench.build("bert-embedding", &["--target", WASI], "module")?;
    let bundle = workbench.build("bert-embedding", &["--target", "bundle"], "bundle")?;
    assert_eq!(
        [mode(&native)?, mode(&module)?, mode(&bundle)?],
        [0o755, 0o755, 0o644]
    );
    assert_eq!(workbench.names()?, ["bundle", "module", "native"]);
    Ok(())
}

#[test]
fn a_model_may_be_in_a_folder_of_its_own() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    let whole = workbench.build("st-mean-normalize", &[], "whole")?;
    let folder = ModelFolder::copy_of("st-mean-normalize")?;
    fs::create_dir(folder.file("0_Transformer"))?;
    for name in [
        "config.json",
        "model.onnx",
        "sentence_bert_config.json",
        "tokenizer.json",
        "tokenizer_config.json",
    ] {
        let moved = Path::new("0_Transformer").join(name);
        fs::rename(folder.file(name), folder.path().join(moved))?;
    }
    folder.edit_json("modules.json", |it| it[0]["path"] = "0_Transformer".into())?;
    let mut build = workbench.tool(&["build", "-o", "apart", "--model"]);
    process::succeed(
        build
            .arg(folder.path())
            .args(["--name", "st-mean-normalize"]),
    )?;
    assert_eq!(
        infer(&workbench, &whole)?,
        infer(&workbench, &workbench.path("apart"))?
    );
    Ok(())
}

#[test]
fn settings_may_name_each_file() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    let folder = fixture::folder("bert-embedding");
    let settings = json!({"encoderfile": {
        "name": "bert-embedding",
        "target": "bundle",
        "path": {
            "model_config_path": folder.join("config.json"),
            "model_weights_path": folder.join("model.onnx"),
            "tokenizer_path": folder.join("tokenizer.json"),
            "tokenizer_config_path": folder.join("tokenizer_config.json"),
        },
    }});
    workbench.write("encoderfile.yml", settings.to_string())?;
    workbench.run(&["build", "-f", "encoderfile.yml", "-o", "files.ef"])?;
    workbench.build("bert-embedding", &["--target", "bundle"], "folder.ef")?;
    ensure!(
        workbench.read("files.ef")? == workbench.read("folder.ef")?,
        "other bytes"
    );
    Ok(())
}

#[test]
fn weights_can_be_stored_smaller() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    let mut previous = u64::MAX;
    for (encoding, cosine_min) in [
        ("f32", 1.0),
        ("f16", 0.99999),
        ("int8:64", 0.99),
        ("int4:32", 0.9),
    ] {
        let options = ["--weights", encoding, "--target", "bundle"];
        workbench.build("st-mean-normalize", &options, "model.ef")?;
        let description = inspect(&workbench, "model.ef")?;
        assert_eq!(description["weights"]["encoding"], encoding);
        let cosine = description["weights"]["worst_cosine"].as_f64();
        let cosine = cosine.context("no worst_cosine")?;
        ensure!((cosine_min..=1.0).contains(&cosine), "{encoding}: {cosine}");
        let length = weights_length(&description)?;
        ensure!(
            length < previous,
            "{encoding}: {length} bytes, not below {previous}"
        );
        previous = length;
    }
    Ok(())
}

#[test]
fn a_graph_that_no_reader_would_take_is_not_built() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    let folder = ModelFolder::copy_of("bert-embedding")?;
    folder.edit_graph(|graph| add_integers(graph, 9_000_000))?;
    let mut build = workbench.tool(&["build", "-o", "built", "--model"]);
    let built = process::finish(build.arg(folder.path()))?;
    built.refused(&[
        "model.onnx",
        "tensor `integers`",
        "9000000 values",
        "67108864",
    ])?;
    ensure!(workbench.names()?.is_empty(), "a file was written");
    Ok(())
}

/// Adds so many integers, of which a text reads some, to the output: all are 0.
fn add_integers(graph: &mut GraphProto, count: usize) {
    let output = graph.output[0].name.clone();
    let names = graph.node.iter_mut().flat_map(|node| &mut node.output);
    for name in names.filter(|name| **name == output) {
        *name = "before".into();
    }
    graph.initializer.push(TensorProto {
        name: "integers".into(),
        data_type: DataType::Int64.into(),
        dims: vec![i64::try_from(count).unwrap_or(i64::MAX)],
        raw_data: vec![0; 8 * count].into(),
        ..TensorProto::default()
    });
    let number = |name: &str, value: i64| AttributeProto {
        name: name.into(),
        r#type: AttributeType::Int.into(),
        i: value,
        ..AttributeProto::default()
    };
    let float = i64::from(DataType::Float as i32);
    for (operator, inputs, output, attribute) in [
        ("Gather", vec!["integers", "input_ids"], "read", None),
        ("Cast", vec!["read"], "floats", Some(number("to", float))),
        (
            "ReduceMax",
            vec!["floats"],
            "zero",
            Some(number("keepdims", 0)),
        ),
        ("Add", vec!["before", "zero"], output.as_str(), None),
    ] {
        graph.node.push(NodeProto {
            name: format!("added/{operator}"),
            op_type: operator.into(),
            input: inputs.into_iter().map(Into::into).collect(),
            output: vec![output.into()],
            attribute: attribute.into_iter().collect(),
            ..NodeProto::default()
        });
    }
}

#[test]
fn tensors_are_where_they_can_be_mapped() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    for options in [vec![], vec!["--target", "bundle"]] {
        let file = workbench.build("bert-embedding", &options, "built")?;
        let payload = Payload::open(Arc::new(fs::read(file)?))?;
        let (mut graph, mut weights) = (None, None);
        for (kind, offset, length) in payload.artifacts() {
            match kind {
                ArtifactKind::Graph => graph = Some(payload.read(kind, length)?),
                ArtifactKind::Weights => weights = Some(offset),
                _ => {}
            }
        }
        let graph = encoderfile::graph::decode(&graph.context("no graph")?)?.graph;
        let start = weights.context("no weights")?;
        let mut stored = 0;
        for tensor in &graph.context("an empty model")?.initializer {
            let Some(place) = External::of(tensor)? else {
                continue;
            };
            let offset = start + place.offset;
            let name = &tensor.name;
            ensure!(
                offset.is_multiple_of(TENSOR_ALIGNMENT),
                "{options:?}: {name} is at {offset}"
            );
            stored += 1;
        }
        ensure!(
            stored > 10,
            "{options:?}: {stored} tensors out of the graph"
        );
    }
    Ok(())
}

#[test]
fn extracted_parts_are_a_model_again() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    let whole = workbench.build("bert-token_classification", &[], "whole")?;
    let printed = workbench.run(&["extract", "whole", "-o", "parts"])?;
    for path in printed.text()?.lines() {
        ensure!(workbench.path(path).is_file(), "{path} was not written");
    }
    let options = [
        "--max-length",
        "64",
        "--name",
        "bert-token_classification",
        "-o",
        "again",
    ];
    let mut arguments = vec!["build", "--model", "parts"];
    arguments.extend(options);
    workbench.run(&arguments)?;
    let (one, other) = (
        infer(&workbench, &whole)?,
        infer(&workbench, &workbench.path("again"))?,
    );
    ensure!(one == other, "other results from the parts");

    // Rounded weights come out as float32.
    let small = workbench.build("bert-token_classification", &["--weights", "f16"], "small")?;
    workbench.run(&["extract", "small", "-o", "small-parts"])?;
    workbench.run(&[
        "build",
        "--model",
        "small-parts",
        "--max-length",
        "64",
        "--name",
        "bert-token_classification",
        "-o",
        "again",
    ])?;
    let (one, other) = (
        infer(&workbench, &small)?,
        infer(&workbench, &workbench.path("again"))?,
    );
    ensure!(
        one == other,
        "other results from the parts of float16 weights"
    );
    Ok(())
}

#[test]
fn a_copy_of_the_tool_is_enough() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    // In an empty folder, without an environment.
    fs::create_dir(workbench.path("empty"))?;
    fs::copy(
        &workbench.programs().encoderfile,
        workbench.path("empty/tool"),
    )?;
    let mut command = workbench.program(&workbench.path("empty/tool"), &["build", "-o", "x"]);
    command.current_dir(workbench.path("empty")).env_clear();
    process::succeed(&mut command)?;
    ensure!(workbench.path("empty/x").is_file(), "no x");
    Ok(())
}

#[test]
fn quantised_matrices_take_one_byte_a_value() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    let length = |model| -> anyhow::Result<u64> {
        workbench.build(model, &["--target", "bundle"], "model.ef")?;
        weights_length(&inspect(&workbench, "model.ef")?)
    };
    let (quantised, exact) = (length("files-int8")?, length("bert-embedding")?);
    // 41,000 values lose three bytes each.
    ensure!(quantised + 100_000 < exact, "{quantised} of {exact} bytes");
    Ok(())
}
