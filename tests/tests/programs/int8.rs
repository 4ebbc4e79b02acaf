//! Products computed in int8: `build --compute int8`.

use anyhow::{Context, ensure};
use encoderfile_tests::target::WASI;
use encoderfile_tests::workbench::Workbench;
use serde_json::Value;

const TEXTS: [&str; 3] = [
    "A cat sits on the mat.",
    "The stock market fell sharply on Monday, and investors sold their shares.",
    "How do I reset my password?",
];

/// The tool's own model as a folder, since the made-up ones have no large matrix.
fn folder() -> anyhow::Result<Option<Workbench>> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(None);
    };
    workbench.run(&["build", "--target", "bundle", "-o", "own.ef"])?;
    workbench.run(&["extract", "own.ef", "-o", "parts"])?;
    Ok(Some(workbench))
}

fn build(workbench: &Workbench, compute: &str, target: &str, name: &str) -> anyhow::Result<()> {
    let model = ["build", "--model", "parts", "--max-length", "128"];
    let how = ["--compute", compute, "--target", target, "-o", name];
    workbench.run(&[model.as_slice(), &how].concat())?;
    Ok(())
}

/// Every number of every token of a text.
fn numbers(result: &Value) -> anyhow::Result<Vec<f64>> {
    let tokens = result["embeddings"].as_array().context("no embeddings")?;
    let values = tokens
        .iter()
        .filter_map(|token| token["embedding"].as_array());
    let numbers: Vec<f64> = values.flatten().filter_map(Value::as_f64).collect();
    ensure!(!numbers.is_empty(), "no numbers");
    Ok(numbers)
}

fn infer(workbench: &Workbench, file: &str, texts: &[&str]) -> anyhow::Result<Vec<Vec<f64>>> {
    let output = workbench.run(&[&["run", file, "infer"], texts].concat())?;
    let output = output.json()?;
    let results = output["results"].as_array().context("no results")?;
    results.iter().map(numbers).collect()
}

fn cosine(one: &[f64], other: &[f64]) -> f64 {
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    dot(one, other) / (dot(one, one) * dot(other, other)).sqrt()
}

fn least_cosine(one: &[Vec<f64>], other: &[Vec<f64>]) -> f64 {
    let pairs = one.iter().zip(other);
    pairs
        .map(|(one, other)| cosine(one, other))
        .fold(1.0, f64::min)
}

#[test]
fn results_are_near_those_of_float32_on_every_target() -> anyhow::Result<()> {
    let Some(workbench) = folder()? else {
        return Ok(());
    };
    build(&workbench, "f32", "bundle", "exact.ef")?;
    build(&workbench, "int8", "bundle", "native.ef")?;
    build(&workbench, "int8", WASI, "module.wasm")?;
    let exact = infer(&workbench, "exact.ef", &TEXTS)?;
    let native = infer(&workbench, "native.ef", &TEXTS)?;
    let module = infer(&workbench, "module.wasm", &TEXTS)?;
    let to_exact = least_cosine(&exact, &native);
    ensure!(
        (0.9985..0.999_999).contains(&to_exact),
        "{to_exact} to float32"
    );
    // The sums are the same; what is computed of them may round to another step.
    let to_native = least_cosine(&native, &module);
    ensure!(to_native > 0.999, "{to_native} from native to wasm");
    for file in ["native.ef", "module.wasm"] {
        workbench.run(&["run", file, "self-test"])?;
    }
    Ok(())
}

#[test]
fn a_text_has_its_result_whatever_is_beside_it() -> anyhow::Result<()> {
    let Some(workbench) = folder()? else {
        return Ok(());
    };
    build(&workbench, "int8", "bundle", "model.ef")?;
    let all = infer(&workbench, "model.ef", &TEXTS)?;
    for (text, beside) in TEXTS.iter().zip(all) {
        let alone = infer(&workbench, "model.ef", &[text])?;
        ensure!(alone == [beside], "{text}: another result alone");
    }
    Ok(())
}

#[test]
fn a_file_says_what_it_computes_in_and_at_what_cost() -> anyhow::Result<()> {
    let Some(workbench) = folder()? else {
        return Ok(());
    };
    let model = ["build", "--model", "parts", "--target", "bundle"];
    let how = ["--weights", "int8", "--compute", "int8", "-o", "model.ef"];
    let built = workbench.run(&[model.as_slice(), &how].concat())?;
    ensure!(built.stderr.contains("computed in int8, cosine to f32 0.9"));
    let description = workbench.run(&["inspect", "--json", "model.ef"])?.json()?;
    assert_eq!(description["pipeline"]["compute"], "int8");
    let cosine = description["weights"]["worst_cosine"].as_f64();
    ensure!((0.995..0.999_999).contains(&cosine.context("no worst_cosine")?));
    let info = workbench.run(&["run", "model.ef", "info"])?;
    ensure!(info.text()?.contains("int8"), "{}", info.text()?);
    // As comparable with the exact ones as those of weights stored in int8.
    build(&workbench, "f32", "bundle", "exact.ef")?;
    let exact = workbench.run(&["inspect", "--json", "exact.ef"])?.json()?;
    ensure!(exact["pipeline"]["compute"] == "f32");
    workbench.refuses(
        &[
            "build",
            "--from",
            "model.ef",
            "--compute",
            "f32",
            "-o",
            "other.ef",
        ],
        &["build from the model folder"],
    )
}
