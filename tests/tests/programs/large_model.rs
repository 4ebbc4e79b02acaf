//! A model beyond two gigabytes, which no protobuf message may hold. Linux only:
//! elsewhere a process cannot be kept from memory without being kept from
//! mapped files.

use anyhow::ensure;
use encoderfile::onnx::{
    GraphProto, NodeProto, StringStringEntryProto, TensorProto, tensor_proto::DataLocation,
};
use encoderfile_tests::model_folder::ModelFolder;
use encoderfile_tests::process;
use encoderfile_tests::workbench::Workbench;
use std::fs::File;

/// Above what a protobuf message may hold, in a table of which a text reads rows.
const TABLE_LEN: u64 = (2 << 30) + (64 << 20);

/// More memory than the builder takes, less than an eighth of the table.
const MEMORY_KIB: u64 = 256 << 10;

/// A table of `TABLE_LEN` bytes, of which the file system stores only the rows
/// that the model had before.
fn enlarge(folder: &ModelFolder) -> anyhow::Result<()> {
    let mut content = Vec::new();
    folder.edit_graph(|graph| {
        let Some(table) = word_table(graph) else {
            return;
        };
        content = table.raw_data.to_vec();
        let row_len = content.len() / usize::try_from(table.dims[0]).unwrap_or(1);
        table.dims[0] = i64::try_from(TABLE_LEN / row_len as u64).unwrap_or(0);
        table.raw_data.clear();
        table.set_data_location(DataLocation::External);
        let entry = |key: &str, value: String| StringStringEntryProto {
            key: key.into(),
            value,
        };
        table.external_data = vec![
            entry("location", "model.onnx_data".into()),
            entry("length", TABLE_LEN.to_string()),
        ];
    })?;
    ensure!(!content.is_empty(), "no table that ids are looked up in");
    folder.write("model.onnx_data", &content)?;
    let file = File::options()
        .write(true)
        .open(folder.file("model.onnx_data"))?;
    file.set_len(TABLE_LEN)?;
    Ok(())
}

/// The table that ids are looked up in.
fn word_table(graph: &mut GraphProto) -> Option<&mut TensorProto> {
    let takes_ids = |node: &&NodeProto| {
        node.op_type == "Gather" && node.input.iter().any(|it| it == "input_ids")
    };
    let name = graph.node.iter().find(takes_ids)?.input.first()?;
    let mut tensors = graph.initializer.iter_mut();
    tensors.find(|it| it.name == *name)
}

#[test]
fn weights_beyond_two_gigabytes_are_never_held_in_memory() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    let folder = ModelFolder::copy_of("bert-embedding")?;
    enlarge(&folder)?;
    // The limit is on memory of the process's own, not on mapped files.
    let limited = format!("ulimit -d {MEMORY_KIB} && exec \"$0\" \"$@\"");
    let mut build = workbench.program("/bin/sh".as_ref(), &["-c", &limited]);
    build.arg(&workbench.programs().encoderfile);
    build.args([
        "build",
        "--weights",
        "int8",
        "--name",
        "model",
        "-o",
        "large",
    ]);
    process::succeed(build.arg("--model").arg(folder.path()))?;

    // Words that were there before have the vectors they had.
    let options = ["--weights", "int8", "--name", "model"];
    workbench.build("bert-embedding", &options, "small")?;
    let infer = |name| -> anyhow::Result<String> {
        let mut infer = workbench.program(&workbench.path(name), &["infer", "of the house"]);
        Ok(process::succeed(&mut infer)?.text()?.to_owned())
    };
    let (large, small) = (infer("large")?, infer("small")?);
    ensure!(!small.is_empty() && large == small, "{large} for {small}");
    Ok(())
}
