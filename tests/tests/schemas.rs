//! Whether the schemas in `docs/schemas` are those of the types that settings files are read
//! into, and have their keys. `SNAPSHOTS=overwrite cargo test --test schemas` writes them.

use anyhow::{Context, ensure};
use encoderfile_builder::config_file::ConfigFile;
use encoderfile_builder::models_file::ModelsFile;
use encoderfile_builder::schema;
use encoderfile_tests::programs;
use encoderfile_tests::workbench::Workbench;
use serde_json::Value;
use std::collections::BTreeSet;
use std::env;
use std::fs;

fn both() -> anyhow::Result<[(&'static str, Value); 2]> {
    Ok([
        ("models.json", serde_json::to_value(schema::of_models())?),
        (
            "encoderfile.json",
            serde_json::to_value(schema::of_encoderfile())?,
        ),
    ])
}

#[test]
fn the_schemas_are_those_of_the_types() -> anyhow::Result<()> {
    for (name, schema) in both()? {
        let path = programs::root().join("docs/schemas").join(name);
        let text = serde_json::to_string_pretty(&schema)? + "\n";
        if env::var_os("SNAPSHOTS").is_some_and(|it| it == "overwrite") {
            fs::write(&path, &text)?;
        }
        let kept = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        ensure!(
            kept == text,
            "{}: is another; write it with SNAPSHOTS=overwrite",
            path.display()
        );
    }
    Ok(())
}

#[test]
fn the_tool_prints_them() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    for (name, _) in both()? {
        let (argument, _) = name.split_once('.').context("no extension")?;
        let printed = workbench.run(&["schema", argument])?;
        let kept = fs::read_to_string(programs::root().join("docs/schemas").join(name))?;
        ensure!(printed.text()? == kept, "{argument}: prints another");
    }
    Ok(())
}

/// The keys that a reader knows, by what it says of one that it does not know.
fn known(refusal: &str) -> anyhow::Result<BTreeSet<&str>> {
    let (_, names) = refusal.split_once("expected one of ").context("no list")?;
    Ok(names.split(", ").collect())
}

/// The keys of a part of a schema.
fn described<'a>(schema: &'a Value, pointer: &str) -> anyhow::Result<BTreeSet<&'a str>> {
    let place = schema.pointer(pointer).context("no such part")?;
    let properties = place["properties"].as_object().context("no properties")?;
    ensure!(
        place["additionalProperties"] == false,
        "{pointer}: has others too"
    );
    Ok(properties.keys().map(String::as_str).collect())
}

#[test]
fn the_schemas_have_the_keys_that_are_read() -> anyhow::Result<()> {
    let [(_, models), (_, encoderfile)] = both()?;
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("file.yml");
    let of_models = |text: &str| -> anyhow::Result<String> {
        fs::write(&file, text)?;
        let refused = ModelsFile::read(&file).err().context("it is read")?;
        Ok(format!("{refused:#}"))
    };
    let of_encoderfile = |text: &str| -> anyhow::Result<String> {
        fs::write(&file, text)?;
        let refused = ConfigFile::read(&file).err().context("it is read")?;
        Ok(format!("{refused:#}"))
    };
    for (schema, pointer, refusal) in [
        (
            &models,
            "/definitions/ModelEntry",
            of_models("models: [{x: 1}]")?,
        ),
        (
            &models,
            "/definitions/Quantization",
            of_models("models: [{quantization: {x: 1}}]")?,
        ),
        (
            &models,
            "/definitions/TokenizerSection",
            of_models("models: [{tokenizer: {x: 1}}]")?,
        ),
        (
            &encoderfile,
            "/definitions/ConfigFile",
            of_encoderfile("encoderfile: {x: 1}")?,
        ),
        (
            &encoderfile,
            "/definitions/ModelFiles",
            of_encoderfile("encoderfile: {path: {x: 1}}")?,
        ),
    ] {
        let mut known = known(&refusal)?;
        // Read in order to be refused with a reason.
        known.remove("transform");
        known.remove("preprocessor_config_path");
        let described = described(schema, pointer)?;
        ensure!(known == described, "{pointer}: {known:?}, {described:?}");
    }
    Ok(())
}
