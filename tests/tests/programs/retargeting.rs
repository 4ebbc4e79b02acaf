//! One payload, on any base: byte for byte the same.

use anyhow::ensure;
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
