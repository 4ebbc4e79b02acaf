//! The library as an extension, in SQLite's shell.

use crate::{Bench, Check};
use anyhow::{Context, ensure};
use encoderfile::{Aggregation, Model, Options, Values};
use encoderfile_tests::process::{self, Finished};
use encoderfile_tests::programs::{Program, root};
use std::fs;
use std::path::Path;

pub(crate) const CHECKS: &[&Check] = &[
    &Check {
        name: "sql/encode",
        needs: &[Program::Sqlite],
        run: encode,
    },
    &Check {
        name: "sql/classify",
        needs: &[Program::Sqlite],
        run: classify,
    },
    &Check {
        name: "sql/entities",
        needs: &[Program::Sqlite],
        run: entities,
    },
    &Check {
        name: "sql/refusals",
        needs: &[Program::Sqlite],
        run: refusals,
    },
    &Check {
        name: "sql/closed",
        needs: &[Program::Sqlite],
        run: closed,
    },
    &Check {
        name: "sql/search",
        needs: &[Program::Sqlite, Program::Python],
        run: search,
    },
];

/// Sentence embeddings with prompts, one of them for queries.
const EMBEDDING: &str = "st-roles";
const CLASSIFICATION: &str = "bert-sequence_classification";
const TOKENS: &str = "roberta-token_classification";

const TEXT: &str = "Zoë flew to 東京 😀, twice.";

/// SQLite's shell with the library loaded, and statements that it runs to the first that fails.
fn shell(bench: &Bench, statements: &[String]) -> anyhow::Result<Finished> {
    let mut shell = bench.command(bench.program(Program::Sqlite)?);
    shell.args(["-bail", ":memory:"]);
    let library = bench.library.join("lib/libencoderfile");
    shell.arg(format!(".load {}", library.display()));
    process::finish(shell.args(statements))
}

/// What a statement gives after models were loaded, each under its own name.
fn query(bench: &Bench, models: &[&str], statement: &str) -> anyhow::Result<Finished> {
    let mut statements = Vec::new();
    for model in models {
        let path = bench.workbench.built(model, &[])?;
        statements.push(format!(
            "CREATE TEMP TABLE \"{model}\" AS SELECT encoderfile_load('{model}', '{}')",
            path.display()
        ));
    }
    statements.push(statement.to_owned());
    shell(bench, &statements)
}

fn open(bench: &Bench, model: &str) -> anyhow::Result<Model> {
    Ok(Model::open(bench.workbench.built(model, &[])?)?)
}

/// Little-endian float32 in hexadecimal, as SQLite's `hex` writes it.
fn hex(model: &Model, options: &Options) -> anyhow::Result<String> {
    let Values::SentenceEmbedding { embedding } = model.infer(TEXT, options)?.values else {
        anyhow::bail!("no sentence embedding");
    };
    let bytes = embedding.into_iter().flat_map(f32::to_le_bytes);
    Ok(bytes.map(|byte| format!("{byte:02X}")).collect())
}

fn encode(bench: &Bench) -> anyhow::Result<()> {
    let model = open(bench, EMBEDDING)?;
    let prompt = model.info().prompts.as_ref().and_then(|it| it.first());
    let prompt = prompt.context("a model with prompts")?.0.clone();
    let plain = hex(&model, &Options::default())?;
    let prompted = hex(
        &model,
        &Options {
            prompt_name: Some(prompt.clone()),
            ..Options::default()
        },
    )?;
    ensure!(plain != prompted, "the prompt changes nothing");
    for (call, expected) in [
        (format!("hex(encode('{TEXT}'))"), plain.as_str()),
        (format!("hex(encode('{TEXT}', NULL))"), &plain),
        (format!("hex(encode('{TEXT}', '{prompt}'))"), &prompted),
        (
            format!("hex(encode('{TEXT}', NULL, '{EMBEDDING}'))"),
            &plain,
        ),
        ("encode(NULL) IS NULL".into(), "1"),
        ("encoderfile_version()".into(), env!("CARGO_PKG_VERSION")),
    ] {
        // Another model beside it changes nothing.
        let models = [EMBEDDING, "st-mean-normalize"];
        let finished = query(bench, &models, &format!("SELECT {call}"))?.succeeded()?;
        ensure!(
            finished.text()?.trim_end() == expected,
            "{call}: {finished:?}"
        );
    }
    Ok(())
}

/// A connection's models are let go with it: their file is mapped no more.
#[cfg(target_os = "linux")]
fn closed(bench: &Bench) -> anyhow::Result<()> {
    let path = bench.workbench.built(EMBEDDING, &[])?;
    let count = format!(".shell grep -c '{}' /proc/$PPID/maps", path.display());
    // Nothing is printed of it: the shell prints later than what it runs.
    let load = format!(
        "CREATE TEMP TABLE loaded AS SELECT encoderfile_load('a', '{}')",
        path.display()
    );
    let statements = [&load, &count, ".open :memory:", &count].map(str::to_owned);
    let finished = shell(bench, &statements)?;
    let counts: Vec<&str> = finished.text()?.lines().collect();
    let [open, closed] = counts[..] else {
        anyhow::bail!("{finished:?}");
    };
    ensure!(open != "0" && closed == "0", "{finished:?}");
    Ok(())
}

/// What is mapped, only Linux says.
#[cfg(not(target_os = "linux"))]
fn closed(_bench: &Bench) -> anyhow::Result<()> {
    Ok(())
}

fn classify(bench: &Bench) -> anyhow::Result<()> {
    let model = open(bench, CLASSIFICATION)?;
    let Values::SequenceClassification {
        predicted_label, ..
    } = model.infer(TEXT, &Options::default())?.values
    else {
        anyhow::bail!("no labels");
    };
    let request = format!(r#"{{"inputs": ["{TEXT}"]}}"#);
    let answer = model.infer_json(&request)?;
    for (call, expected) in [
        (
            format!("classify('{TEXT}', '{CLASSIFICATION}')"),
            predicted_label,
        ),
        (
            format!("encoderfile_infer('{request}', '{CLASSIFICATION}')"),
            answer,
        ),
        ("classify(NULL) IS NULL".into(), "1".into()),
    ] {
        let models = [EMBEDDING, CLASSIFICATION];
        let finished = query(bench, &models, &format!("SELECT {call}"))?.succeeded()?;
        ensure!(
            finished.text()?.trim_end() == expected,
            "{call}: {finished:?}"
        );
    }
    Ok(())
}

/// Rows as the runtime gives them; also of a join, in which each row of another table is a text.
fn entities(bench: &Bench) -> anyhow::Result<()> {
    let options = Options {
        aggregation: Some(Aggregation::Simple),
        ..Options::default()
    };
    let Values::Entities { entities } = open(bench, TOKENS)?.infer(TEXT, &options)?.values else {
        anyhow::bail!("no entities");
    };
    ensure!(!entities.is_empty(), "nothing to compare");
    let columns = "entity, printf('%.5f', score), word, start, end";
    let lines = entities.iter().map(|it| {
        let (label, word) = (it.label.name(), &it.word);
        format!("{label}|{:.5}|{word}|{}|{}\n", it.score, it.start, it.end)
    });
    let expected = lines.collect::<String>();
    for from in [
        format!("entities('{TEXT}')"),
        format!("entities('{TEXT}', '{TOKENS}')"),
        format!("(SELECT '{TEXT}' AS t UNION SELECT NULL), entities(t)"),
    ] {
        let statement = format!("SELECT {columns} FROM {from}");
        let finished = query(bench, &[TOKENS, EMBEDDING], &statement)?.succeeded()?;
        ensure!(
            finished.text()? == expected,
            "{from}: {finished:?} for {expected}"
        );
    }
    Ok(())
}

/// What is wrong is an error of the statement, in our words.
fn refusals(bench: &Bench) -> anyhow::Result<()> {
    let path = bench.workbench.built(CLASSIFICATION, &[])?;
    let other = bench.workbench.built(TOKENS, &[])?;
    let load = |name: &str, path: &Path| {
        format!(
            "SELECT length(encoderfile_load('{name}', '{}'))",
            path.display()
        )
    };
    let cut = bench.workbench.path("cut");
    let whole = fs::read(&path)?;
    fs::write(&cut, whole.get(..whole.len() / 2).context("half")?)?;
    let said = Model::open(&cut).err().context("a cut file was opened")?;
    ensure!(
        said.to_string()
            .starts_with(&format!("{}: ", cut.display()))
    );
    let loaded = load("m", &path);
    for (statements, words) in [
        (vec!["SELECT encode('a')".into()], "no model is loaded; `SELECT encoderfile_load("),
        (vec![load("m", Path::new("no/such"))], "no/such: No such file or directory"),
        (vec![load("m", &cut)], encoderfile::one_line(&said).as_str()),
        (vec!["SELECT encoderfile_load(NULL, 'a')".into()], "the name is NULL; it takes a text"),
        (vec![loaded.clone(), load("m", &other)], "choose another name"),
        (vec![loaded.clone(), "SELECT classify('a', 'n')".into()], "no model is loaded as \"n\"; there is m"),
        (vec![loaded.clone(), "SELECT classify(7)".into()], "classify: the text is an integer; it takes a text"),
        (vec![loaded.clone(), "SELECT classify(x'00')".into()], "the text is a blob"),
        (vec![loaded.clone(), "SELECT classify(CAST(x'61ff' AS TEXT))".into()], "`the text` is not UTF-8 at byte 1"),
        (vec![loaded.clone(), "SELECT encode('a')".into()], "`encode` does not apply to sequence_classification"),
        (vec![loaded.clone(), "SELECT * FROM entities('a')".into()], "does not apply to sequence_classification"),
        (vec![loaded.clone(), "SELECT * FROM entities".into()], "entities: it takes a text"),
        (vec![loaded.clone(), "SELECT encoderfile_infer('{')".into()], "EOF while parsing"),
        (
            vec![
                "CREATE TABLE t (a); CREATE TRIGGER r AFTER INSERT ON t BEGIN SELECT encoderfile_load('a', 'b'); END".into(),
                "INSERT INTO t VALUES (1)".into(),
            ],
            "unsafe use of encoderfile_load",
        ),
    ] {
        let finished = shell(bench, &statements)?;
        let refused = finished.code == Some(1) && finished.stderr.contains(words);
        ensure!(refused, "{words}: {finished:?}");
    }
    // The same file again is the same model.
    let again = shell(bench, &[loaded.clone(), loaded])?.succeeded()?;
    let lines: Vec<&str> = again.text()?.lines().collect();
    ensure!(lines.len() == 2 && lines[0] == lines[1], "{again:?}");
    Ok(())
}

/// The example, with sqlite-vec as PyPI has it.
fn search(bench: &Bench) -> anyhow::Result<()> {
    let mut python = bench.command(bench.program(Program::Python)?);
    let found = process::succeed(
        python.args(["-c", "import sqlite_vec; print(sqlite_vec.loadable_path())"]),
    )?;
    let sqlite_vec = Path::new(found.text()?.trim_end()).with_extension("so");
    let model = root().join("models/all-MiniLM-L6-v2.ef");
    let library = bench.library.join("lib/libencoderfile.so");
    for (name, file) in [
        ("vec0.so", sqlite_vec),
        ("model.ef", model.clone()),
        ("libencoderfile.so", library),
    ] {
        fs::copy(&file, bench.workbench.path(name)).with_context(|| file.display().to_string())?;
    }
    let mut shell = bench.command(bench.program(Program::Sqlite)?);
    let script = root().join("capi/examples/sql/search.sql");
    let finished =
        process::finish_with_input(shell.args(["-bail", "notes.db"]), &script)?.succeeded()?;
    let texts = ["How do I reset my password?", "Our office is in Berlin."];
    let alike = Model::open(&model)?.similarity("I forgot my login", texts, &Options::default())?;
    let lines: Vec<&str> = finished.text()?.lines().collect();
    ensure!(
        lines.len() == 3 && lines[0] == "all-MiniLM-L6-v2",
        "{lines:?}"
    );
    let (score, text) = lines[1].split_once('|').context("no columns")?;
    let apart = (score.parse::<f32>()? - alike[0]).abs();
    ensure!(text == texts[0] && apart < 2e-4, "{lines:?} for {alike:?}");
    Ok(())
}
