//! Last hidden states of a Jina BERT, as candle-transformers computes them.
//!
//! `jina-bert-reference FOLDER` reads `[[id, …], …]` from stdin, and writes `[[[value, …], …], …]`.

use anyhow::Context;
use candle_core::{DType, Device, Module, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::models::jina_bert::{BertModel, Config};
use std::fs;
use std::io;
use std::path::PathBuf;

fn main() -> anyhow::Result<()> {
    let folder: PathBuf = std::env::args_os().nth(1).context("no folder")?.into();
    let config: Config = serde_json::from_slice(&fs::read(folder.join("config.json"))?)?;
    let tensors = fs::read(folder.join("model.safetensors"))?;
    let tensors = VarBuilder::from_buffered_safetensors(tensors, DType::F32, &Device::Cpu)?;
    let model = BertModel::new(tensors, &config)?;
    let texts: Vec<Vec<u32>> = serde_json::from_reader(io::stdin())?;
    let mut states: Vec<Vec<Vec<f32>>> = Vec::new();
    for ids in texts {
        let ids = Tensor::new(ids, &Device::Cpu)?.unsqueeze(0)?;
        states.push(model.forward(&ids)?.squeeze(0)?.to_vec2()?);
    }
    serde_json::to_writer(io::stdout(), &states)?;
    Ok(())
}
