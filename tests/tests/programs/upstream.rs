//! Upstream's format 1: `[base][manifest][artifacts…][footer]`, the manifest
//! found from the start of the file, the whole ONNX file, SHA-256 hashes.

use anyhow::ensure;
use encoderfile::container::Footer;
use encoderfile::proto::{Artifact, Manifest, Task};
use encoderfile_tests::fixture;
use encoderfile_tests::format_1::{BASE, format_1};
use encoderfile_tests::process;
use encoderfile_tests::target::WASI;
use encoderfile_tests::workbench::Workbench;
use prost::Message;
use std::fs;
use std::path::Path;

fn results(workbench: &Workbench, program: &Path, model: &str) -> anyhow::Result<Vec<u8>> {
    let texts: Vec<String> = fixture::read(model)?
        .cases
        .into_iter()
        .map(|it| it.text)
        .collect();
    let mut command = workbench.program(program, &["infer"]);
    Ok(process::succeed(command.args(texts))?.stdout)
}

#[test]
fn a_format_1_file_is_retargeted() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    let models = [
        ("bert-embedding", Task::Embedding),
        ("bert-embedding", Task::SentenceEmbedding),
        ("bert-sequence_classification", Task::SequenceClassification),
        ("bert-token_classification", Task::TokenClassification),
    ];
    for (model, task) in models {
        workbench.write("upstream", format_1(model, task, 64)?)?;
        workbench.run(&["build", "--from", "upstream", "-o", "again"])?;
        let again = results(&workbench, &workbench.path("again"), model)?;
        let direct = workbench.build(model, &["--task", &task.name()], "direct")?;
        let direct = results(&workbench, &direct, model)?;
        ensure!(again == direct, "{model}: other results from format 1");
        workbench.run(&[
            "build",
            "--from",
            "upstream",
            "--target",
            WASI,
            "-o",
            "again.wasm",
        ])?;
        ensure!(
            workbench.path("again.wasm").is_file(),
            "{model}: no wasm module"
        );
    }
    Ok(())
}

#[test]
fn a_format_1_file_is_described() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    workbench.write("upstream", format_1("bert-embedding", Task::Embedding, 64)?)?;
    let description = workbench.run(&["inspect", "--json", "upstream"])?.json()?;
    assert_eq!(description["format_version"], 1);
    assert_eq!(description["kind"], "ELF executable");
    assert_eq!(description["name"], "bert-embedding");
    assert_eq!(description["version"], "1.2.3");
    assert_eq!(description["task"], "embedding");
    assert_eq!(description["can_be_retargeted"], "yes");
    Ok(())
}

#[test]
fn a_format_1_file_is_taken_apart() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    workbench.write("upstream", format_1("bert-embedding", Task::Embedding, 64)?)?;
    workbench.run(&["extract", "upstream", "-o", "parts"])?;
    let folder = fixture::folder("bert-embedding");
    for name in ["model.onnx", "config.json"] {
        let (got, expected) = (
            fs::read(workbench.path("parts").join(name))?,
            fs::read(folder.join(name))?,
        );
        ensure!(got == expected, "{name} differs");
    }
    let json = |path: &Path| -> anyhow::Result<serde_json::Value> {
        Ok(serde_json::from_slice(&fs::read(
            path.join("tokenizer.json"),
        )?)?)
    };
    ensure!(
        json(&workbench.path("parts"))? == json(&folder)?,
        "tokenizer.json differs"
    );
    Ok(())
}

#[test]
fn a_model_of_images_is_refused_by_name() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    // Upstream's `model_type` of image classification.
    const IMAGES: i32 = 21;
    let preprocessor = Some(Artifact::default());
    for (task, graph) in [
        (IMAGES, preprocessor.clone()),
        (IMAGES, None),
        (Task::SequenceClassification.into(), preprocessor),
    ] {
        let manifest = Manifest {
            task,
            name: "images".into(),
            version: "1.2.3".into(),
            // In format 1, number 140 is the image preprocessor.
            graph,
            ..Manifest::default()
        };
        let footer = Footer {
            format_version: 1,
            metadata_offset: BASE.len() as u64,
            metadata_length: manifest.encoded_len() as u64,
            flags: 1,
        };
        let file = [BASE, &manifest.encode_to_vec(), &footer.to_bytes()].concat();
        workbench.write("images", file)?;
        let words = ["images", "image classification", "encoders of texts"];
        workbench.refuses(&["build", "--from", "images", "-o", "out"], &words)?;
        workbench.refuses(&["extract", "images", "-o", "parts"], &words)?;
        let description = workbench.run(&["inspect", "--json", "images"])?.json()?;
        assert_eq!(description["task"], "image_classification");
        let retarget = description["can_be_retargeted"].as_str().unwrap_or("");
        ensure!(
            retarget.starts_with("no: an image classification model"),
            "{retarget}"
        );
    }
    Ok(())
}

#[test]
fn a_changed_format_1_file_is_refused() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    let whole = format_1("bert-embedding", Task::Embedding, 64)?;
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 1;
    workbench.write("flipped", flipped)?;
    let words = ["flipped", "at offset", "SHA-256"];
    workbench.refuses(&["build", "--from", "flipped", "-o", "out"], &words)?;
    workbench.refuses(&["extract", "flipped", "-o", "parts"], &words)?;
    workbench.write("cut", &whole[..whole.len() - 1])?;
    workbench.refuses(&["build", "--from", "cut", "-o", "out"], &["cut", "footer"])?;
    // Without its base, the manifest is elsewhere.
    workbench.write("front", &whole[BASE.len()..])?;
    workbench.refuses(&["build", "--from", "front", "-o", "out"], &["front"])?;
    ensure!(
        !workbench.path("out").exists(),
        "a refused build left its output"
    );
    Ok(())
}
