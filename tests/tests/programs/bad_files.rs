//! Files that are no encoderfile, or no longer the one that was built.

use anyhow::{Context, ensure};
use encoderfile_runtime::Payload;
use encoderfile_runtime::container::ArtifactKind;
use encoderfile_tests::fixture;
use encoderfile_tests::process;
use encoderfile_tests::target::WASI;
use encoderfile_tests::workbench::Workbench;
use std::fs;
use std::path::Path;
use std::sync::Arc;

/// Every command that opens an encoderfile refuses `file` and names it and `words`.
fn refused_by_all(workbench: &Workbench, file: &str, words: &[&str]) -> anyhow::Result<()> {
    let mut words = words.to_vec();
    words.push(file);
    workbench.refuses(&["inspect", file], &words)?;
    workbench.refuses(&["extract", file, "-o", "parts"], &words)?;
    workbench.refuses(&["build", "--from", file, "-o", "out"], &words)?;
    workbench.refuses(&["run", file, "infer", "text"], &words)?;
    ensure!(
        !workbench.path("out").exists(),
        "a refused build left its output"
    );
    Ok(())
}

#[test]
fn a_file_that_is_no_encoderfile() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    workbench.write("prose.txt", "Call me Ishmael. ".repeat(100))?;
    refused_by_all(&workbench, "prose.txt", &["encoderfile"])?;
    workbench.write("short", "ENCFILE")?;
    refused_by_all(&workbench, "short", &[])?;
    workbench.write("empty", "")?;
    refused_by_all(&workbench, "empty", &[])?;
    fs::create_dir(workbench.path("folder"))?;
    refused_by_all(&workbench, "folder", &[])?;
    refused_by_all(&workbench, "missing", &[])
}

#[test]
fn a_file_that_is_cut() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    let whole =
        fs::read(workbench.build("bert-embedding", &["--target", "bundle"], "whole.ef")?)?;
    for (name, length) in [
        ("last", whole.len() - 1),
        ("footer", whole.len() - 32),
        ("half", whole.len() / 2),
    ] {
        workbench.write(name, &whole[..length])?;
        refused_by_all(&workbench, name, &["encoderfile"])?;
    }
    // Cut at the front, the footer is still there.
    workbench.write("front", &whole[1..])?;
    refused_by_all(
        &workbench,
        "front",
        &["footer at offset", "does not fit the file"],
    )
}

/// Writes `file` again with one byte of its `artifact` changed, and says where
/// the artifact is.
fn flip(file: &Path, artifact: ArtifactKind) -> anyhow::Result<u64> {
    let mut bytes = fs::read(file)?;
    let payload = Payload::open(Arc::new(bytes.clone()))?;
    let found = payload.artifacts().find(|(kind, ..)| *kind == artifact);
    let (_, offset, length) = found.with_context(|| format!("no {artifact}"))?;
    bytes[usize::try_from(offset + length / 2)?] ^= 1;
    fs::write(file, bytes)?;
    Ok(offset)
}

#[test]
fn a_flipped_bit() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    let artifacts = [
        (ArtifactKind::Weights, "weights"),
        (ArtifactKind::Graph, "graph"),
        (ArtifactKind::Tokenizer, "tokenizer"),
        (ArtifactKind::ModelConfig, "model_config"),
    ];
    for (artifact, name) in artifacts {
        let file = workbench.build("bert-embedding", &["--target", "bundle"], "flipped.ef")?;
        let offset = flip(&file, artifact)?;
        let place = format!("{name} at offset {offset}");
        workbench.refuses(&["inspect", "flipped.ef"], &["flipped.ef", &place])?;
        workbench.refuses(
            &["extract", "flipped.ef", "-o", "parts"],
            &["flipped.ef", &place],
        )?;
        workbench.refuses(
            &["build", "--from", "flipped.ef", "-o", "out"],
            &["flipped.ef", &place],
        )?;
    }
    Ok(())
}

#[test]
fn a_built_program_with_a_flipped_weight_computes_nothing() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    let native = workbench.build("bert-embedding", &[], "native")?;
    let offset = flip(&native, ArtifactKind::Weights)?;
    let place = format!("weights at offset {offset}");
    for arguments in [
        ["infer", "text"].as_slice(),
        &["self-test"],
        &["tokenize", "text"],
    ] {
        let finished = process::finish(&mut workbench.program(&native, arguments))?;
        finished
            .refused(&[&place])
            .with_context(|| format!("{arguments:?}"))?;
    }
    let module = workbench.build("bert-embedding", &["--target", WASI], "model.ef.wasm")?;
    flip(&module, ArtifactKind::Weights)?;
    if let Some(wasmtime) = &workbench.programs().wasmtime {
        let mut command = workbench.program(wasmtime, &["run", "model.ef.wasm", "infer", "text"]);
        process::finish(&mut command)?.refused(&["weights at offset"])?;
    }
    workbench.refuses(
        &["run", "model.ef.wasm", "infer", "text"],
        &["weights at offset"],
    )
}

#[test]
fn a_program_without_a_model() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    let tool = workbench.programs().encoderfile.clone();
    workbench.run(&[
        "extract".as_ref(),
        tool.as_os_str(),
        "-o".as_ref(),
        ".".as_ref(),
    ])?;
    let base = format!("base-{WASI}");
    if let Some(wasmtime) = &workbench.programs().wasmtime {
        let mut command = workbench.program(wasmtime, &["run", &base, "infer", "text"]);
        process::finish(&mut command)?.refused(&["--payload"])?;
    }
    // The tool itself is a container, but of base programs.
    let payload = tool.to_string_lossy();
    let native = workbench.build("bert-embedding", &[], "native")?;
    let arguments = ["--payload", &payload, "infer", "text"];
    let finished = process::finish(&mut workbench.program(&native, &arguments))?;
    finished.refused(&["holds no model"])
}

#[test]
fn an_unknown_setting() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    let model = fixture::folder("bert-embedding");
    let settings: [(&str, &[&str]); 14] = [
        ("encoderfile:\n  path:\n", &["my.yml", "`path` is missing"]),
        (
            "encoderfile:\n  name: x\n",
            &["my.yml", "`path` is missing"],
        ),
        (
            "encoderfile:\n  path: .\n  name: ''\n",
            &["my.yml", "`name` is empty"],
        ),
        (
            "encoderfile:\n  path: .\n  tokenizer:\n    max_length: 0\n",
            &["my.yml", "`tokenizer.max_length` is 0"],
        ),
        ("encoderfile:\n  nmae: x\n", &["my.yml", "nmae"]),
        (
            "encoderfile:\n  path: .\n  tokenizer:\n    maxlength: 3\n",
            &["my.yml", "maxlength"],
        ),
        ("encoderfle: {}\n", &["my.yml", "encoderfle"]),
        (
            "encoderfile:\n  path: .\n  transform: return 1\n",
            &["my.yml", "transform"],
        ),
        (
            "encoderfile:\n  path: .\n  tokenizer:\n    stride: 8\n",
            &["my.yml", "stride"],
        ),
        ("encoderfile: [1\n", &["my.yml"]),
        ("", &["my.yml"]),
        (
            "encoderfile:\n  path: .\n  model_type: translation\n",
            &["my.yml", "model_type", "translation"],
        ),
        (
            "encoderfile:\n  path: .\n  weights: int3\n",
            &["my.yml", "weights", "int3"],
        ),
        (
            "encoderfile:\n  path: .\n  tokenizer:\n    truncation_side: middle\n",
            &["my.yml", "`tokenizer.truncation_side`", "middle"],
        ),
    ];
    for (text, words) in settings {
        let text = text.replace("path: .", &format!("path: {}", model.display()));
        workbench.write("my.yml", &text)?;
        let refused = workbench.refuses(&["build", "-f", "my.yml", "-o", "out"], words);
        refused.context(text)?;
    }
    workbench.refuses(&["build", "-f", "missing.yml"], &["missing.yml"])
}

#[test]
fn a_target_without_a_base() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    let words = ["riscv64gc-unknown-linux-gnu", WASI, "--base"];
    workbench.refuses(
        &[
            "build",
            "--target",
            "riscv64gc-unknown-linux-gnu",
            "-o",
            "out",
        ],
        &words,
    )?;
    workbench.refuses(&["build", "--base", "missing", "-o", "out"], &["missing"])?;
    workbench.refuses(
        &["build", "-o", "no/such/folder/out"],
        &["no/such/folder/out"],
    )?;
    fs::create_dir(workbench.path("folder"))?;
    workbench.refuses(&["build", "-o", "folder"], &["folder"])?;
    ensure!(
        workbench.names()? == ["folder"],
        "left behind: {:?}",
        workbench.names()?
    );
    Ok(())
}

#[test]
fn a_base_that_cannot_take_a_payload() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    // The smallest module there is: the header alone.
    workbench.write("other.wasm", b"\0asm\x01\0\0\0")?;
    let arguments = [
        "build",
        "--target",
        WASI,
        "--base",
        "other.wasm",
        "-o",
        "out",
    ];
    workbench.refuses(&arguments, &["other.wasm"])?;
    workbench.write("cut.wasm", b"\0asm\x01\0\0\0\x01\x7f")?;
    let arguments = ["build", "--target", WASI, "--base", "cut.wasm", "-o", "out"];
    workbench.refuses(&arguments, &["cut.wasm"])?;
    ensure!(
        !workbench.path("out").exists(),
        "a refused build left its output"
    );
    Ok(())
}

#[test]
fn a_finished_file_cannot_be_changed() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    workbench.build("bert-embedding", &["--target", "bundle"], "model.ef")?;
    for option in [
        ["--name", "other"],
        ["--weights", "int8"],
        ["--max-length", "8"],
    ] {
        let arguments = [
            "build", "--from", "model.ef", option[0], option[1], "-o", "out",
        ];
        workbench.refuses(&arguments, &["finished encoderfile keeps"])?;
    }
    Ok(())
}
