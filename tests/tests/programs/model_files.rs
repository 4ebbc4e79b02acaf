//! Which file of a folder is the model, and what is said of it.

use anyhow::{Context, ensure};
use encoderfile_tests::model_folder::ModelFolder;
use encoderfile_tests::process;
use encoderfile_tests::workbench::Workbench;
use serde_json::{Value, json};
use std::fs;

/// A folder whose ONNX files have these names.
fn folder_with(names: &[&str]) -> anyhow::Result<ModelFolder> {
    let folder = ModelFolder::copy_of("bert-embedding")?;
    let model = fs::read(folder.file("model.onnx"))?;
    folder.remove("model.onnx")?;
    fs::create_dir(folder.file("onnx"))?;
    for name in names {
        folder.write(name, &model)?;
    }
    Ok(folder)
}

/// Builds the folder as a bundle.
fn build(workbench: &Workbench, folder: &ModelFolder, options: &[&str]) -> anyhow::Result<()> {
    let mut build = workbench.tool(&["build", "--target", "bundle", "-o", "out.ef", "--model"]);
    process::succeed(build.arg(folder.path()).args(options))?;
    fs::remove_file(workbench.path("out.ef"))?;
    Ok(())
}

fn refused(
    workbench: &Workbench,
    folder: &ModelFolder,
    options: &[&str],
    words: &[&str],
) -> anyhow::Result<()> {
    let mut build = workbench.tool(&["build", "-o", "out", "--model"]);
    process::finish(build.arg(folder.path()).args(options))?.refused(words)?;
    ensure!(!workbench.path("out").exists(), "left behind");
    Ok(())
}

#[test]
fn the_usual_file_is_the_model_and_so_is_the_only_one() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    for name in ["onnx/model_fp16.onnx", "model_quantized.onnx"] {
        build(&workbench, &folder_with(&[name])?, &[])?;
    }
    for usual in ["model.onnx", "onnx/model.onnx"] {
        let folder = folder_with(&[usual, "onnx/model_fp16.onnx", "other.onnx"])?;
        folder.write("other.onnx", "no ONNX")?;
        folder.write("onnx/model_fp16.onnx", "no ONNX")?;
        build(&workbench, &folder, &[])?;
    }
    let folder = folder_with(&["model.onnx", "onnx/model.onnx"])?;
    folder.write("onnx/model.onnx", "no ONNX")?;
    build(&workbench, &folder, &[])
}

#[test]
fn one_of_several_has_to_be_named() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    let folder = folder_with(&["onnx/model_fp16.onnx", "onnx/model_int8.onnx"])?;
    let both = ["onnx/model_fp16.onnx", "onnx/model_int8.onnx"];
    let words = ["several ONNX files", "--weights-file", both[0], both[1]];
    refused(&workbench, &folder, &[], &words)?;
    folder.write("onnx/model_int8.onnx", "no ONNX")?;
    for name in ["onnx/model_fp16.onnx", "model_fp16.onnx"] {
        build(&workbench, &folder, &["--weights-file", name])?;
    }
    let words = ["no file model_q4.onnx", both[0], both[1]];
    refused(
        &workbench,
        &folder,
        &["--weights-file", "model_q4.onnx"],
        &words,
    )?;

    let settings = json!({"encoderfile": {
        "path": folder.path(),
        "weights_file": "model_fp16.onnx",
        "target": "bundle",
        "output_path": "out.ef",
    }});
    workbench.write("encoderfile.yml", settings.to_string())?;
    workbench.run(&["build", "-f", "encoderfile.yml"])?;
    Ok(())
}

#[test]
fn a_folder_without_onnx_is_told_how_to_export() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    let folder = folder_with(&[])?;
    let command = format!(
        "optimum-cli export onnx --model {} OUT",
        folder.path().display()
    );
    refused(&workbench, &folder, &[], &[&command])?;
    folder.write("model.safetensors", "weights")?;
    refused(&workbench, &folder, &[], &[&command, "model.safetensors"])
}

fn weights(workbench: &Workbench, model: &str) -> anyhow::Result<Value> {
    workbench.build(model, &["--target", "bundle"], "model.ef")?;
    let description = workbench.run(&["inspect", "--json", "model.ef"])?.json()?;
    Ok(description["weights"].clone())
}

#[test]
fn a_file_says_what_its_source_had_rounded() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    let half = weights(&workbench, "files-float16")?;
    assert_eq!(half["encoding"], "f16");
    assert_eq!(half["worst_cosine"], 1.0);
    let quantised = weights(&workbench, "files-int8")?;
    let said = quantised["quantized_matrices"].as_str();
    // Three tables, and six matrices in each of two layers.
    let said = said.context("inspect does not say so")?;
    ensure!(said.starts_with("15, "), "{said}");
    let exact = weights(&workbench, "bert-embedding")?;
    ensure!(exact.get("quantized_matrices").is_none(), "{exact}");
    Ok(())
}

#[test]
fn quantised_matrices_take_one_byte_a_value() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    let length = |model| -> anyhow::Result<u64> {
        let path = workbench.build(model, &["--target", "bundle"], "model.ef")?;
        Ok(fs::metadata(path)?.len())
    };
    let (quantised, exact) = (length("files-int8")?, length("bert-embedding")?);
    // 41,000 values lose three bytes each; graph and tokenizer stay.
    ensure!(quantised + 100_000 < exact, "{quantised} of {exact} bytes");
    Ok(())
}
