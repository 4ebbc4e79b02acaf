//! One payload, on any base: byte for byte the same.

use anyhow::ensure;
use encoderfile::container::{self, ArtifactKind, Content};
use encoderfile::golden;
use encoderfile::{Payload, Source};
use encoderfile_tests::target::WASI;
use encoderfile_tests::workbench::Workbench;
use std::fs;
use std::path::Path;
use std::sync::Arc;

/// The payload in a file.
fn payload(file: &Path) -> anyhow::Result<Vec<u8>> {
    let payload = Payload::open(Arc::new(fs::read(file)?))?;
    let section = payload.bytes()?;
    let mut bytes = vec![0; usize::try_from(section.len())?];
    let read = section.read_at(0, &mut bytes);
    read.map_err(|error| anyhow::anyhow!(error))?;
    Ok(bytes)
}

#[test]
fn every_form_carries_the_same_payload() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    let native = workbench.build("bert-embedding", &[], "native")?;
    let module = workbench.build("bert-embedding", &["--target", WASI], "module")?;
    let bundle = workbench.build("bert-embedding", &["--target", "bundle"], "bundle")?;
    let bundle = fs::read(bundle)?;
    ensure!(
        fs::read(&native)?.ends_with(&bundle),
        "the native file ends with other bytes"
    );
    ensure!(
        fs::read(&module)?.ends_with(&bundle),
        "the module ends with other bytes"
    );
    ensure!(
        payload(&native)? == bundle,
        "the native file has another payload"
    );
    ensure!(
        payload(&module)? == bundle,
        "the module has another payload"
    );
    Ok(())
}

#[test]
fn a_retargeted_file_is_the_one_built_directly() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    let targets = [
        ("native", [].as_slice()),
        ("module", &["--target", WASI]),
        ("bundle", &["--target", "bundle"]),
    ];
    for (name, options) in targets {
        workbench.build("bert-embedding", options, name)?;
    }
    for (from, _) in targets {
        for (to, options) in targets {
            let mut arguments = vec!["build", "--from", from, "-o", "again"];
            arguments.extend(options);
            workbench.run(&arguments)?;
            let same = workbench.read("again")? == workbench.read(to)?;
            ensure!(same, "{to} from {from} differs from {to} built directly");
        }
    }
    Ok(())
}

#[test]
fn a_wheel_is_read_as_other_files_are() -> anyhow::Result<()> {
    // pip takes no other name for that model.
    const WHEEL: &str = "bert_embedding-0.1.0-py3-none-any.whl";

    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    let bundle = workbench.build("bert-embedding", &["--target", "bundle"], "bundle")?;
    workbench.run(&[
        "build", "--from", "bundle", "--target", "wheel", "-o", WHEEL,
    ])?;
    let inspected = workbench.run(&["inspect", WHEEL, "--json"])?.json()?;
    ensure!(inspected["kind"] == "Python wheel", "{inspected}");
    ensure!(payload(&workbench.path(WHEEL))? == fs::read(bundle)?);
    for (target, name) in [("bundle", "again"), ("wheel", &*format!("folder/{WHEEL}"))] {
        fs::create_dir_all(workbench.path("folder"))?;
        workbench.run(&["build", "--from", WHEEL, "--target", target, "-o", name])?;
    }
    ensure!(workbench.read("again")? == workbench.read("bundle")?);
    ensure!(workbench.read(&format!("folder/{WHEEL}"))? == workbench.read(WHEEL)?);
    Ok(())
}

#[test]
fn the_default_model_is_taken_as_it_is() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    let tool = workbench.programs().encoderfile.clone();
    workbench.run(&[
        "extract".as_ref(),
        tool.as_os_str(),
        "-o".as_ref(),
        "tool".as_ref(),
    ])?;
    workbench.run(&["build", "--target", "bundle", "-o", "default.ef"])?;
    let same = workbench.read("default.ef")? == workbench.read("tool/default-model.ef")?;
    ensure!(same, "the default model was changed");
    Ok(())
}

/// The bundle with one artifact changed, and hashes that agree with it.
pub(crate) fn with_changed(
    bundle: &[u8],
    changed: ArtifactKind,
    change: impl Fn(Vec<u8>) -> Vec<u8>,
) -> anyhow::Result<Vec<u8>> {
    let payload = Payload::open(Arc::new(bundle.to_vec()))?;
    let mut artifacts = Vec::new();
    for (kind, _, length) in payload.artifacts() {
        let content = payload.read(kind, length)?;
        artifacts.push((
            kind,
            if kind == changed {
                change(content)
            } else {
                content
            },
        ));
    }
    let contents = artifacts.iter();
    let contents: Vec<Content<'_>> = contents
        .map(|(kind, content)| (*kind, content as &dyn Source))
        .collect();
    let mut bytes = Vec::new();
    container::write(payload.manifest(), &contents, &mut bytes)?;
    Ok(bytes)
}

#[test]
fn a_file_of_another_version_is_refused_where_it_would_not_run() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    let options = ["--target", "bundle", "--weights", "f16"];
    let bundle = fs::read(workbench.build("bert-embedding", &options, "bundle")?)?;
    let refuses = |file: &str, bytes: Vec<u8>, words: &[&str]| {
        workbench.write(file, bytes)?;
        for options in [[].as_slice(), &["--target", WASI]] {
            let arguments = [&["build", "--from", file, "-o", "out"], options].concat();
            workbench.refuses(&arguments, words)?;
            ensure!(!workbench.path("out").exists(), "out was written");
        }
        Ok(())
    };
    // An encoding of tensors that this version does not know.
    let older = with_changed(&bundle, ArtifactKind::Graph, |graph| {
        replaced(graph, b"f16", b"f99")
    })?;
    refuses(
        "older",
        older,
        &[
            "older: this version",
            "`f99` is no encoding",
            "model folder",
        ],
    )?;
    // Results of a version that computed something else.
    let other = with_changed(&bundle, ArtifactKind::Golden, |cases| {
        let mut cases = golden::decode(&cases).expect("golden cases");
        cases[0].values[0] += 1.0;
        golden::encode(&cases)
    })?;
    refuses(
        "other",
        other,
        &["other: this version", "results", "0 of", "model folder"],
    )?;
    // Token ids of a tokenizer that read the text otherwise.
    let tokens = with_changed(&bundle, ArtifactKind::Golden, |cases| {
        let mut cases = golden::decode(&cases).expect("golden cases");
        cases[0].input_ids[1] += 1;
        golden::encode(&cases)
    })?;
    refuses(
        "tokens",
        tokens,
        &["tokens: this version", "1 of", "model folder"],
    )
}

/// Every occurrence of a word replaced by another of the same length.
fn replaced(mut bytes: Vec<u8>, word: &[u8], by: &[u8]) -> Vec<u8> {
    let places = bytes.windows(word.len()).enumerate();
    let places = places.filter(|(_, window)| *window == word);
    let places: Vec<usize> = places.map(|(place, _)| place).collect();
    assert!(!places.is_empty(), "the word is not there");
    for place in places {
        bytes[place..place + word.len()].copy_from_slice(by);
    }
    bytes
}
