//! What a built program prints, and where.

use anyhow::{Context, ensure};
use encoderfile::container::{self, ArtifactKind, Content};
use encoderfile::golden::{self, GoldenCase};
use encoderfile::graph::{ISA_VARIABLE, Isa};
use encoderfile::{Payload, Source};
use encoderfile_tests::compare;
use encoderfile_tests::fixture;
use encoderfile_tests::process::{self, Finished};
use encoderfile_tests::request::Item;
use encoderfile_tests::rows::{self, TokenInfo};
use encoderfile_tests::target::{Built, Target};
use encoderfile_tests::workbench::Workbench;
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

/// One model of each task.
const MODELS: [&str; 4] = [
    "bert-embedding",
    "bert-sequence_classification",
    "bert-token_classification",
    "st-mean-normalize",
];

/// A fixture's native program in an empty folder.
fn native(model: &str) -> anyhow::Result<Option<Native>> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(None);
    };
    workbench.build(model, &[], "model")?;
    Ok(Some(Native { workbench }))
}

struct Native {
    workbench: Workbench,
}

impl Native {
    fn run(&self, arguments: &[&str]) -> anyhow::Result<Finished> {
        let program = self.workbench.path("model");
        process::succeed(&mut self.workbench.program(&program, arguments))
    }

    fn infer(&self, arguments: &[&str]) -> anyhow::Result<Value> {
        self.run(&[&["infer"], arguments].concat())?.json()
    }
}

#[test]
fn an_empty_text_is_a_text_on_every_target() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    for model in MODELS {
        let built = Built::new(&workbench, Some(&fixture::folder(model)))?;
        let items = [Item::text(""), Item::text("x")];
        let native = workbench.rows(Target::Native, &built, &items)?;
        for target in Target::ALL
            .into_iter()
            .filter(|target| workbench.has(*target))
        {
            let rows = workbench.rows(target, &built, &items)?;
            let (row, numbers) = (&rows[0], rows[0].numbers());
            ensure!(
                numbers.iter().all(|it| it.is_finite()),
                "{model}: {numbers:?}"
            );
            // The special tokens are left out of results a token.
            ensure!(row.token_infos().is_empty(), "{model}: {row:?}");
            let per_text = row.embeddings.is_none() && row.tokens.is_none();
            ensure!(per_text != numbers.is_empty(), "{model}: {row:?}");
            let compared = compare::rows(&native[0], row, compare::TARGET_TOLERANCE);
            compared.with_context(|| format!("{model} on {}", target.name()))?;
        }
    }
    Ok(())
}

/// Beyond what is read before the first result.
#[test]
fn a_long_file_is_read_as_it_is_needed() -> anyhow::Result<()> {
    let Some(program) = native("bert-sequence_classification")? else {
        return Ok(());
    };
    let lines: Vec<String> = (0..1500).map(|line| format!("text {line}\n")).collect();
    program.workbench.write("texts", lines.concat())?;
    let arguments = ["infer", "-f", "jsonl", "--input", "texts"];
    let all = program.run(&arguments)?;
    ensure!(
        all.text()?.lines().count() == lines.len(),
        "lines are missing"
    );
    let one = program.run(&[&arguments[..], &["--threads", "1"]].concat())?;
    ensure!(all.stdout == one.stdout, "other results on one thread");

    let mut spoiled = lines.concat().into_bytes();
    spoiled.extend(b"\xff\n");
    program.workbench.write("texts", spoiled)?;
    let path = program.workbench.path("model");
    let finished = process::finish(&mut program.workbench.program(&path, &arguments))?;
    finished.refused_midway(&["texts", "invalid UTF-8 at byte"])?;
    ensure!(finished.stdout == all.stdout, "results before it are lost");
    Ok(())
}

#[test]
fn results_are_the_same_on_any_number_of_threads() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    // The tool's own model: one whose products are large enough to be shared.
    workbench.run(&["build", "-o", "own"])?;
    let long = "A long text is computed by all threads at once. ".repeat(20);
    let own = workbench.path("own");
    for texts in [
        [long.as_str()].as_slice(),
        &[long.as_str(), "a short one", &long],
    ] {
        let on_threads = |count: &str| {
            let arguments = [&["infer", "--threads", count], texts].concat();
            process::succeed(&mut workbench.program(&own, &arguments))
        };
        let one = on_threads("1")?.stdout;
        for count in ["2", "3", "8"] {
            ensure!(on_threads(count)?.stdout == one, "{count} threads");
        }
    }
    Ok(())
}

#[test]
fn a_file_that_is_there_is_kept() -> anyhow::Result<()> {
    let Some(program) = native("bert-sequence_classification")? else {
        return Ok(());
    };
    program.workbench.write("out.part", "mine")?;
    program.run(&["infer", "-o", "out", "a text"])?;
    ensure!(program.workbench.read("out.part")? == b"mine");
    let names = program.workbench.names()?;
    ensure!(names == ["model", "out", "out.part"], "{names:?}");
    Ok(())
}

#[test]
fn texts_come_from_arguments_files_and_standard_input() -> anyhow::Result<()> {
    let Some(program) = native("bert-sequence_classification")? else {
        return Ok(());
    };
    let expected = program.infer(&["first text", "", "third text"])?;
    let forms = [
        ("lines", "first text\n\nthird text\n"),
        ("no newline at the end", "first text\n\nthird text"),
        ("Windows lines", "first text\r\n\r\nthird text\r\n"),
        ("byte order mark", "\u{feff}first text\n\nthird text\n"),
        (
            "JSON lines",
            "{\"text\": \"first text\"}\n{\"id\": 2, \"text\": \"\"}\n\n{\"text\": \"third text\"}\n",
        ),
    ];
    for (name, content) in forms {
        let path = program.workbench.write("texts", content)?;
        let got = program.infer(&["--input", "texts"])?;
        ensure!(got == expected, "{name}: other results from a file");
        let model = program.workbench.path("model");
        let mut command = program
            .workbench
            .program(&model, &["infer", "--input", "-"]);
        let got = process::finish_with_input(&mut command, &path)?
            .succeeded()?
            .json()?;
        ensure!(got == expected, "{name}: other results from standard input");
    }
    Ok(())
}

#[test]
fn a_text_may_hold_line_breaks_and_any_character() -> anyhow::Result<()> {
    let Some(program) = native("bert-token_classification")? else {
        return Ok(());
    };
    let text = "Zoë 😀\nflew to\t東京";
    let line = serde_json::json!({ "text": text }).to_string();
    program.workbench.write("texts", line)?;
    let from_file = program.infer(&["--input", "texts"])?;
    ensure!(from_file == program.infer(&[text])?, "other results");
    // Offsets are in code points.
    let tokenized = rows::parse_tokenized(program.run(&["tokenize", text])?.text()?)?;
    let length = text.chars().count();
    let end = tokenized[0].tokens.iter().map(|it| it.info.end).max();
    assert_eq!(end, Some(length));
    Ok(())
}

#[test]
fn both_formats_hold_the_same_results() -> anyhow::Result<()> {
    for model in MODELS {
        let Some(program) = native(model)? else {
            return Ok(());
        };
        let document = program.infer(&["one", "two", "three"])?;
        let lines = program.run(&["infer", "-f", "jsonl", "one", "two", "three"])?;
        let lines = lines.text()?.lines().map(serde_json::from_str);
        let lines: Vec<Value> = lines.collect::<Result<_, _>>()?;
        assert_eq!(document["results"], Value::Array(lines));
    }
    Ok(())
}

#[test]
fn a_file_holds_what_standard_output_would() -> anyhow::Result<()> {
    let Some(program) = native("bert-embedding")? else {
        return Ok(());
    };
    for format in ["json", "jsonl"] {
        let printed = program.run(&["infer", "-f", format, "one", "two"])?.stdout;
        let silent = program.run(&["infer", "-f", format, "one", "two", "-o", "results"])?;
        ensure!(silent.stdout.is_empty(), "printed as well");
        assert_eq!(program.workbench.read("results")?, printed);
    }
    let printed = program.run(&["tokenize", "one"])?.stdout;
    program.run(&["tokenize", "one", "-o", "results"])?;
    assert_eq!(program.workbench.read("results")?, printed);
    assert_eq!(program.workbench.names()?, ["model", "results"]);
    Ok(())
}

#[test]
fn the_number_of_threads_changes_nothing() -> anyhow::Result<()> {
    let Some(program) = native("st-cls")? else {
        return Ok(());
    };
    let lines: String = (0..200)
        .map(|it| format!("text number {it}, {}\n", "and so on ".repeat(it % 7)))
        .collect();
    program.workbench.write("texts", lines)?;
    let one = program
        .run(&["infer", "--input", "texts", "--threads", "1"])?
        .stdout;
    for threads in ["2", "7"] {
        let other = program
            .run(&["infer", "--input", "texts", "--threads", threads])?
            .stdout;
        ensure!(one == other, "other bytes with {threads} threads");
    }
    Ok(())
}

#[test]
fn special_tokens_are_left_out_unless_asked_for() -> anyhow::Result<()> {
    for model in [
        "bert-embedding",
        "bert-token_classification",
        "deberta-v2-token_classification",
    ] {
        let Some(program) = native(model)? else {
            return Ok(());
        };
        let text = "You really did it very well.";
        let row = |options: &[&str]| {
            let arguments = [&["infer", "-f", "jsonl", text], options].concat();
            anyhow::Ok(rows::parse(program.run(&arguments)?.text()?)?.remove(0))
        };
        let tokenized = rows::parse_tokenized(program.run(&["tokenize", text])?.text()?)?.remove(0);
        let all: Vec<&TokenInfo> = tokenized.tokens.iter().map(|it| &it.info).collect();
        let of_text = tokenized.tokens.iter().filter(|it| !it.special);
        let of_text: Vec<&TokenInfo> = of_text.map(|it| &it.info).collect();
        ensure!(of_text.len() + 2 == all.len(), "{model}: {tokenized:?}");
        assert_eq!(row(&["--special-tokens"])?.token_infos(), all);
        assert_eq!(row(&[])?.token_infos(), of_text);
    }
    Ok(())
}

#[test]
fn embeddings_are_normalised_as_the_model_or_the_request_says() -> anyhow::Result<()> {
    let norms = |document: &Value| -> anyhow::Result<Vec<f64>> {
        let result = &document["results"][0];
        let vectors = match &result["embeddings"] {
            Value::Null => vec![&result["embedding"]],
            rows => rows
                .as_array()
                .context("no rows")?
                .iter()
                .map(|it| &it["embedding"])
                .collect(),
        };
        let norm = |vector: &Value| -> anyhow::Result<f64> {
            let vector: Vec<f64> = serde_json::from_value(vector.clone())?;
            Ok(vector.iter().map(|it| it * it).sum::<f64>().sqrt())
        };
        vectors.into_iter().map(norm).collect()
    };
    let is_one = |norm: &f64| (norm - 1.0).abs() < 1e-5;
    // By default only the last of these normalises.
    for (model, by_default) in [
        ("bert-embedding", false),
        ("st-cls", false),
        ("st-mean-normalize", true),
    ] {
        let Some(program) = native(model)? else {
            return Ok(());
        };
        let text = "You really did it very well.";
        let cases: [(&[&str], bool); 3] = [
            (&[text], by_default),
            (&[text, "--normalize", "true"], true),
            (&[text, "--normalize", "false"], false),
        ];
        for (arguments, expected) in cases {
            let norms = norms(&program.infer(arguments)?)?;
            let all_one = norms.iter().all(is_one);
            ensure!(all_one == expected, "{model} {arguments:?}: {norms:?}");
        }
    }
    Ok(())
}

#[test]
fn the_self_test_passes_on_every_target() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    for model in [
        None,
        Some("bert-token_classification"),
        Some("deberta-v2-embedding"),
    ] {
        let folder = model.map(fixture::folder);
        let built = Built::new(&workbench, folder.as_deref())?;
        for target in Target::ALL
            .into_iter()
            .filter(|target| workbench.has(*target))
        {
            if target.has_self_test() {
                workbench.self_test(target, &built)?;
            }
            if !target.has_command_line() {
                continue;
            }
            process::succeed(workbench.command(target, &built)?.arg("info"))?;
            process::succeed(workbench.command(target, &built)?.arg("--version"))?;
        }
    }
    Ok(())
}

#[test]
fn the_instruction_set_that_is_chosen_computes() -> anyhow::Result<()> {
    let Some(native) = native("bert-embedding")? else {
        return Ok(());
    };
    let with = |name: &str, program: &mut Command| process::finish(program.env(ISA_VARIABLE, name));
    let model = native.workbench.path("model");
    let self_test = || native.workbench.program(&model, &["self-test"]);
    for isa in Isa::all() {
        let said = with(isa.name(), &mut self_test())?.succeeded()?;
        let expected = format!("computed with {}\n", isa.name());
        ensure!(said.text()?.ends_with(&expected), "{said:?}");
    }
    Ok(())
}

/// The bundle's payload with other golden cases.
fn with_golden(bundle: &Path, change: impl Fn(&mut Vec<GoldenCase>)) -> anyhow::Result<Vec<u8>> {
    let payload = Payload::open(Arc::new(fs::read(bundle)?))?;
    let mut contents = Vec::new();
    for (kind, _, length) in payload.artifacts() {
        let mut content = payload.read(kind, length)?;
        if kind == ArtifactKind::Golden {
            let mut cases = golden::decode(&content)?;
            change(&mut cases);
            content = golden::encode(&cases);
        }
        contents.push((kind, content));
    }
    let contents: Vec<Content<'_>> = contents
        .iter()
        .map(|(kind, content)| (*kind, content as &dyn Source))
        .collect();
    let mut out = Vec::new();
    container::write(payload.manifest(), &contents, &mut out)?;
    Ok(out)
}

#[test]
fn the_self_test_fails_for_other_numbers() -> anyhow::Result<()> {
    let Some(program) = native("bert-embedding")? else {
        return Ok(());
    };
    let workbench = &program.workbench;
    let bundle = workbench.build("bert-embedding", &["--target", "bundle"], "model.ef")?;
    type Change<'a> = (&'a str, &'a dyn Fn(&mut Vec<GoldenCase>));
    let changes: [Change<'_>; 4] = [
        ("a number", &|cases| cases[1].values[7] += 0.01),
        ("a token", &|cases| cases[1].input_ids[1] += 1),
        ("a missing number", &|cases| {
            cases[1].values.truncate(5);
        }),
        ("no cases", &|cases| cases.clear()),
    ];
    for (name, change) in changes {
        workbench.write("changed.ef", with_golden(&bundle, change)?)?;
        let model = workbench.path("model");
        let mut command = workbench.program(&model, &["--payload", "changed.ef", "self-test"]);
        let finished = process::finish(&mut command)?;
        ensure!(finished.code == Some(1), "{name}: {finished:?}");
        ensure!(
            finished.text()?.starts_with("self-test FAILED"),
            "{name}: {finished:?}"
        );
    }
    Ok(())
}

#[cfg(unix)]
#[test]
fn invalid_utf8_as_an_argument() -> anyhow::Result<()> {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    let native = workbench.built("bert-sequence_classification", &[])?;
    let arguments = [OsStr::new("infer"), OsStr::from_bytes(b"bad \xff")];
    let finished = process::finish(&mut workbench.program(&native, &arguments))?;
    finished.refused(&["invalid UTF-8"])
}

#[test]
fn a_file_of_texts_is_read_as_it_says() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    let program = workbench.built("bert-sequence_classification", &[])?;
    let infer = |arguments: &[&str]| {
        let arguments = [&["infer", "-f", "jsonl"], arguments].concat();
        process::finish(&mut workbench.program(&program, &arguments))
    };
    let expected = infer(&["a", "b"])?.succeeded()?.stdout;
    for (name, content) in [
        ("a.txt", "a\nb\n"),
        ("a.txt", "\u{feff}a\r\nb"),
        (
            "a.txt",
            "\n{\"text\": \"a\", \"text_pair\": null}\r\n \n{\"text\": \"b\", \"id\": 7}\n",
        ),
        ("a.jsonl", "\u{feff}\n{\"text\": \"a\"}\n{\"text\": \"b\"}"),
        ("a.NDJSON", "{\"text\": \"a\"}\n\n{\"text\": \"b\"}\n"),
    ] {
        workbench.write(name, content)?;
        let got = infer(&["--input", name])?.succeeded()?;
        ensure!(got.stdout == expected, "{name} {content:?}");
    }
    let json = "{\"text\": \"a\"}";
    let as_text = infer(&["x", json])?.succeeded()?.stdout;
    workbench.write("later.txt", format!("x\n{json}\n"))?;
    ensure!(infer(&["--input", "later.txt"])?.succeeded()?.stdout == as_text);
    workbench.write("text.jsonl", format!("x\n{json}\n"))?;
    let told = ["--input", "text.jsonl", "--input-format", "text"];
    ensure!(infer(&told)?.succeeded()?.stdout == as_text);

    Ok(())
}
