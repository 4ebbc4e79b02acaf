//! `extract`: the parts of an encoderfile as files that other tools read.
//!
//! Float tensors are written as float32, whatever they were stored as, so that
//! any ONNX runtime loads the result.

use crate::base::copy;
use crate::carried;
use crate::inspect::inspect;
use crate::output::{Mode, write_file};
use crate::upstream::{self, Upstream};
use anyhow::{Context, ensure};
use encoderfile::container::ArtifactKind;
use encoderfile::file::MappedFile;
use encoderfile::graph::decode;
use encoderfile::limits::{GRAPH_LEN_MAX, MODEL_CONFIG_LEN_MAX, TOKENIZER_LEN_MAX};
use encoderfile::onnx::{GraphProto, TensorProto, tensor_proto::DataType};
use encoderfile::source::{Section, Source};
use encoderfile::weights::{External, LOCATION, Matrix};
use encoderfile::{Executor, Payload, panics};
use prost::Message;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Writes the parts of `file` into `folder`, which is made if it is not there, and
/// returns their paths.
///
/// # Errors
/// As [`inspect()`](crate::inspect()), and for a format 1 file a wrong hash too;
/// [`GraphError`](encoderfile::GraphError) for a graph that cannot be decoded. Parts that
/// were written before stay.
pub fn extract(file: &Path, folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    panics::catch(|| write_parts(file, folder))?
}

fn write_parts(file: &Path, folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let name = file.display().to_string();
    let mapped = MappedFile::open(file).with_context(|| name.clone())?;
    let mut written = Files {
        folder,
        paths: Vec::new(),
    };
    if upstream::is_format_1(mapped.bytes()) {
        let upstream = Upstream::read(mapped.bytes()).with_context(|| name)?;
        written.begin()?;
        written.write("config.json", &upstream.config_json)?;
        written.write("tokenizer.json", &upstream.tokenizer_json)?;
        written.write("model.onnx", &upstream.weights)?;
    } else {
        let payload = Payload::open(Arc::new(mapped)).with_context(|| name.clone())?;
        payload
            .verify_with(&Executor::AllCores)
            .with_context(|| name)?;
        written.begin()?;
        extract_payload(&payload, &mut written)?;
    }
    let description = serde_json::to_vec_pretty(&inspect(file)?)?;
    written.write("manifest.json", &description)?;
    Ok(written.paths)
}

struct Files<'a> {
    folder: &'a Path,
    paths: Vec<PathBuf>,
}

impl Files<'_> {
    /// Makes the folder, once it is known that there is something to write.
    fn begin(&self) -> anyhow::Result<()> {
        fs::create_dir_all(self.folder).with_context(|| self.folder.display().to_string())
    }

    fn write(&mut self, name: &str, content: &[u8]) -> anyhow::Result<()> {
        let path = self.folder.join(name);
        write_file(&path, Mode::Data, |out| Ok(out.write_all(content)?))?;
        self.paths.push(path);
        Ok(())
    }
}

fn extract_payload(payload: &Payload, files: &mut Files<'_>) -> anyhow::Result<()> {
    for (kind, _, length) in payload.artifacts() {
        match kind {
            ArtifactKind::ModelConfig => {
                files.write("config.json", &payload.read(kind, MODEL_CONFIG_LEN_MAX)?)?;
            }
            ArtifactKind::Tokenizer => {
                files.write("tokenizer.json", &payload.read(kind, TOKENIZER_LEN_MAX)?)?;
            }
            ArtifactKind::Graph => extract_graph(payload, files)?,
            // Their tensors lie in the one weights artifact, under names of their own.
            ArtifactKind::NamedGraph(index) => {
                files.write(
                    &format!("graph-{index}.pb"),
                    &payload.read(kind, GRAPH_LEN_MAX)?,
                )?;
            }
            ArtifactKind::Golden => files.write("golden.pb", &payload.read(kind, length)?)?,
            ArtifactKind::Base(index) => {
                let target = &payload.manifest().bases[index];
                // It becomes part of a file name.
                let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
                ensure!(
                    target.bytes().all(is_plain),
                    "manifest: base {index}: {target:?} is no target"
                );
                files.write(&format!("base-{target}"), &carried::base(payload, index)?)?;
            }
            ArtifactKind::DefaultModel => {
                files.write("default-model.ef", &payload.read(kind, length)?)?;
            }
            // Written with the graph that says what they are.
            ArtifactKind::Weights => {}
        }
    }
    Ok(())
}

/// model.onnx, and its tensors as ONNX external data beside it.
fn extract_graph(payload: &Payload, files: &mut Files<'_>) -> anyhow::Result<()> {
    let bytes = payload.read(ArtifactKind::Graph, GRAPH_LEN_MAX)?;
    let mut model = decode(&bytes).context("graph")?;
    let mut graph = model.graph.take().unwrap_or_default();
    let weights: Arc<dyn Source> = Arc::new(payload.artifact(ArtifactKind::Weights)?);
    let path = files.folder.join(LOCATION);
    write_file(&path, Mode::Data, |out| {
        write_tensors(&mut graph, &weights, out)
    })?;
    files.paths.push(path);
    model.graph = Some(graph);
    files.write("model.onnx", &model.encode_to_vec())
}

fn write_tensors(
    graph: &mut GraphProto,
    weights: &Arc<dyn Source>,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let mut position = 0;
    let mut read: u64 = 0;
    for tensor in &mut graph.initializer {
        let Some(stored) = External::of(tensor)? else {
            continue;
        };
        read = read.saturating_add(stored.length);
        ensure!(
            read <= weights.len(),
            "tensor `{}` shares bytes of the weights with other tensors",
            tensor.name
        );
        let length = if tensor.data_type == DataType::Float as i32 {
            write_floats(tensor, &stored, weights, out)?
        } else {
            let part = Section::new(Arc::clone(weights), stored.offset, stored.length);
            copy(&part.with_context(|| tensor.name.clone())?, out)?;
            stored.length
        };
        tensor.external_data = External {
            offset: position,
            length,
            ..External::default()
        }
        .to_entries(tensor.dims.len());
        position += length;
    }
    Ok(())
}

/// Writes the values of a tensor as float32; returns how many bytes that takes.
fn write_floats(
    tensor: &TensorProto,
    stored: &External,
    weights: &Arc<dyn Source>,
    out: &mut dyn Write,
) -> anyhow::Result<u64> {
    let matrix = Matrix::of(tensor, stored, weights)?;
    let (rows, columns) = (matrix.rows(), matrix.columns());
    let mut row = vec![0.0; columns];
    for index in 0..rows {
        matrix.read_rows(index, &mut row)?;
        for value in &row {
            out.write_all(&value.to_le_bytes())?;
        }
    }
    Ok(rows as u64 * columns as u64 * 4)
}
