//! Models of the hub in a models.yaml.

use crate::bench::{Bench, WEIGHTS, names_in};
use crate::content::{COMMIT, ID, Model};
use anyhow::ensure;
use encoderfile_tests::process::{self, Finished};
use std::fs;

/// A models.yaml with the hub's model, named `tiny`, as a bundle.
fn many(bench: &Bench, keys: &str, options: &[&str]) -> anyhow::Result<Finished> {
    let file = format!("models:\n- name: tiny\n  hf_name: {ID}\n  targets: bundle\n{keys}");
    bench.workbench.write("models.yaml", file)?;
    let mut build = bench.workbench.tool(&["build", "--models", "models.yaml"]);
    build.args(options);
    bench.environment(&mut build);
    process::finish(&mut build)
}

/// What the table says of the file.
fn result(finished: &Finished) -> &str {
    let mut rows = finished.text().unwrap_or_default().lines();
    rows.find(|it| it.contains("tiny.ef")).unwrap_or_default()
}

#[test]
fn what_is_up_to_date_is_known_by_its_commit_alone() -> anyhow::Result<()> {
    let Some(bench) = Bench::open()? else {
        return Ok(());
    };
    let first = many(&bench, "", &[])?.succeeded()?;
    ensure!(result(&first).contains("built"), "{first:?}");
    ensure!(!bench.downloads().is_empty());
    let built = bench.workbench.read("tiny.ef")?;
    // Nothing but the list is asked for, even where nothing is kept.
    fs::remove_dir_all(bench.home())?;
    let second = many(&bench, "", &[])?.succeeded()?;
    ensure!(result(&second).contains("up to date"), "{second:?}");
    let asked = bench.hub.asked();
    ensure!(
        asked.len() == 1 && asked[0].path.contains("/revision/main"),
        "{asked:?}"
    );
    let third = many(&bench, "", &["--no-skip"])?.succeeded()?;
    ensure!(result(&third).contains("built"), "{third:?}");
    ensure!(bench.workbench.read("tiny.ef")? == built, "other bytes");
    // A plain build of the same is the same file.
    process::succeed(&mut bench.build(&["--name", "tiny"]))?;
    ensure!(bench.workbench.read("out")? == built, "other bytes");
    bench.check_cache()
}

#[test]
fn another_commit_option_or_file_of_weights_is_not_up_to_date() -> anyhow::Result<()> {
    let Some(bench) = Bench::open()? else {
        return Ok(());
    };
    for (keys, expected) in [
        ("", "built"),
        ("  weights_file: model.safetensors\n", "built"),
        ("  weights_file: model.safetensors\n", "up to date"),
        ("  quantization: {dtype: float16}\n", "built"),
        ("  quantization: {bits: 16}\n", "up to date"),
        ("  version: 2.0.0\n", "built"),
        ("  tokenizer: {max_length: 9}\n", "built"),
    ] {
        let finished = many(&bench, keys, &[])?.succeeded()?;
        ensure!(result(&finished).contains(expected), "{keys}: {finished:?}");
    }
    let mut model = Model::of_fixture(crate::bench::FIXTURE)?;
    many(&bench, "", &[])?.succeeded()?;
    model.commit = "f".repeat(40);
    let Some(mut newer) = Bench::with(model)? else {
        return Ok(());
    };
    std::mem::swap(&mut newer.workbench, &mut { bench }.workbench);
    let finished = many(&newer, "", &[])?.succeeded()?;
    ensure!(result(&finished).contains("built"), "{finished:?}");
    Ok(())
}

#[test]
fn a_dry_run_says_what_would_be_fetched_and_keeps_nothing() -> anyhow::Result<()> {
    let Some(bench) = Bench::open()? else {
        return Ok(());
    };
    let finished = many(&bench, "", &["--dry-run"])?.succeeded()?;
    let table = finished.text()?.to_owned();
    let row = |name: &str| {
        table
            .lines()
            .find(|it| it.contains(name))
            .map(str::to_owned)
    };
    for file in [WEIGHTS, "tokenizer.json", "1_Pooling/config.json"] {
        let row = row(&format!("{ID}/{file} ")).unwrap_or_default();
        ensure!(row.contains(" fetch "), "{file}: {table}");
    }
    ensure!(row("model.safetensors").is_none(), "{table}");
    ensure!(
        row("tiny.ef").is_some_and(|it| it.contains("write")),
        "{table}"
    );
    ensure!(!bench.home().exists(), "{:?}", names_in(&bench.home()));
    ensure!(!bench.workbench.path("tiny.ef").exists());
    let downloads = bench.downloads();
    let needed = ["1_Pooling/config.json", "config.json", "modules.json"];
    ensure!(
        needed
            .iter()
            .all(|it| downloads.iter().any(|name| name == it)),
        "{downloads:?}"
    );
    ensure!(downloads.len() == needed.len(), "{downloads:?}");

    // What it says is what a build does.
    let would = |table: &str| {
        let rows = table.lines().filter(|it| it.contains(" fetch "));
        let mut names: Vec<String> = rows
            .filter_map(|it| {
                it.split_whitespace()
                    .nth(2)?
                    .strip_prefix(&format!("{ID}/"))
                    .map(str::to_owned)
            })
            .collect();
        names.sort();
        names
    };
    many(&bench, "", &[])?.succeeded()?;
    let mut downloads = bench.downloads();
    downloads.sort();
    ensure!(would(&table) == downloads, "{table}\n{downloads:?}");

    // Then it is there.
    let finished = many(&bench, "", &["--dry-run", "--no-skip"])?.succeeded()?;
    let table = finished.text()?.to_owned();
    ensure!(
        would(&table).is_empty() && table.contains(" read "),
        "{table}"
    );
    let finished = many(&bench, "", &["--dry-run"])?.succeeded()?;
    let table = finished.text()?.to_owned();
    ensure!(
        table.contains(" keep ") && !table.contains(" read "),
        "{table}"
    );
    ensure!(bench.downloads().is_empty());
    Ok(())
}

#[test]
fn a_model_that_the_hub_lacks_does_not_stop_the_others() -> anyhow::Result<()> {
    let Some(bench) = Bench::open()? else {
        return Ok(());
    };
    for options in [&[][..], &["--dry-run"]] {
        let keys = "- name: other\n  hf_name: org/other\n  targets: bundle\n";
        let finished = many(&bench, keys, options)?;
        ensure!(finished.code == Some(1), "{finished:?}");
        ensure!(
            finished.stderr.contains("error: other: org/other: "),
            "{finished:?}"
        );
        ensure!(!result(&finished).contains("fail"), "{finished:?}");
    }
    ensure!(bench.workbench.path("tiny.ef").exists());
    ensure!(bench.inspect_file("tiny.ef")?["provenance"]["source"] == format!("{ID}@{COMMIT}"));
    Ok(())
}

#[test]
fn a_dry_run_says_what_cannot_be_built_as_far_as_settings_say_it() -> anyhow::Result<()> {
    let model = Model::of_fixture(crate::bench::FIXTURE)?;
    let decoder = br#"{"model_type": "llama", "architectures": ["LlamaForCausalLM"]}"#;
    let Some(bench) = Bench::with(model.with("config.json", decoder))? else {
        return Ok(());
    };
    let finished = many(&bench, "", &["--dry-run"])?;
    let said = format!("error: tiny: {ID}/config.json: not an encoder");
    ensure!(finished.code == Some(1), "{finished:?}");
    ensure!(finished.stderr.contains(&said), "{finished:?}");
    Ok(())
}

#[test]
fn without_the_network_the_cache_is_planned_with() -> anyhow::Result<()> {
    let Some(bench) = Bench::open()? else {
        return Ok(());
    };
    let finished = many(&bench, "", &["--dry-run", "--no-download"])?;
    ensure!(finished.stderr.contains("error: tiny: "), "{finished:?}");
    ensure!(finished.stderr.contains("--no-download"), "{finished:?}");
    many(&bench, "", &[])?.succeeded()?;
    bench.hub.asked();
    let options = ["--dry-run", "--no-download", "--no-skip"];
    let finished = many(&bench, "", &options)?.succeeded()?;
    let table = finished.text()?.to_owned();
    ensure!(
        table.contains(" read ") && !table.contains(" fetch "),
        "{table}"
    );
    ensure!(bench.hub.asked().is_empty());
    Ok(())
}

#[test]
fn a_dry_run_knows_shards_and_external_data() -> anyhow::Result<()> {
    for (fixture, files) in [
        (
            "checkpoint-bert-sharded",
            [
                "model-00001-of-00003.safetensors",
                "model-00003-of-00003.safetensors",
            ],
        ),
        (
            "files-external-data",
            ["onnx/model.onnx", "onnx/model.onnx_data"],
        ),
    ] {
        let Some(bench) = Bench::with(Model::of_fixture(fixture)?)? else {
            return Ok(());
        };
        let finished = many(&bench, "", &["--dry-run"])?.succeeded()?;
        let table = finished.text()?.to_owned();
        for file in files {
            ensure!(table.contains(&format!("{ID}/{file} ")), "{table}");
        }
        ensure!(!bench.downloads().iter().any(|it| files.contains(&&**it)));
    }
    Ok(())
}
