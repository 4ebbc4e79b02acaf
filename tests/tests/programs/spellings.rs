//! Upstream's spellings: taken where they mean something here, warned of where they do
//! not, and refused by name where they ask for what this is not.

use anyhow::{Context, ensure};
use encoderfile_tests::fixture;
use encoderfile_tests::process::{self, Finished};
use encoderfile_tests::workbench::Workbench;
use std::fs;

/// Runs the tool, which must succeed and warn once, of `words`.
fn warns(workbench: &Workbench, arguments: &[&str], words: &[&str]) -> anyhow::Result<Finished> {
    let finished = workbench.run(arguments)?;
    let warnings: Vec<&str> = finished
        .stderr
        .lines()
        .filter(|line| line.starts_with("warning: "))
        .collect();
    let [warning] = warnings.as_slice() else {
        anyhow::bail!("{arguments:?}: {}", finished.stderr);
    };
    for word in words {
        ensure!(warning.contains(word), "no {word:?} in {warning:?}");
    }
    Ok(finished)
}

#[test]
fn a_build_as_upstream_spells_it() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    let folder = fixture::folder("bert-embedding");
    let there = workbench.path("there");
    fs::create_dir(&there)?;
    fs::create_dir(there.join("model"))?;
    for name in [
        "config.json",
        "model.onnx",
        "tokenizer.json",
        "tokenizer_config.json",
    ] {
        fs::copy(folder.join(name), there.join("model").join(name))?;
    }
    let settings = "encoderfile:\n  name: upstreams\n  version: 1.2.3\n  path: model\n  model_type: embedding\n";
    workbench.write("encoderfile.yml", settings)?;
    workbench.run(&[
        "build",
        "-f",
        "encoderfile.yml",
        "--directory",
        "there",
        "--output-path",
        "mine.encoderfile",
        "--no-download",
    ])?;
    let built = there.join("mine.encoderfile");
    ensure!(built.is_file(), "not where --directory says");
    let info = process::succeed(&mut workbench.program(&built, &["info", "--json"]))?.json()?;
    ensure!(
        info["name"] == "upstreams" && info["version"] == "1.2.3",
        "{info}"
    );
    workbench.refuses(
        &["build", "-f", "encoderfile.yml", "--directory", "nowhere"],
        &["--directory nowhere"],
    )
}

#[test]
fn what_means_nothing_here_is_warned_of() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    let model = fixture::folder("bert-embedding").display().to_string();
    let build = ["build", "--model", &model, "-o", "out"];
    let with = |flags: &[&'static str]| -> Vec<String> {
        build
            .iter()
            .map(|it| (*it).to_owned())
            .chain(flags.iter().map(|it| (*it).to_owned()))
            .collect()
    };
    for (flags, words) in [
        (
            ["--cache-dir", "cache"],
            ["--cache-dir cache", "nothing is downloaded"],
        ),
        (
            ["--runtime-version", "0.7.0"],
            ["--runtime-version 0.7.0", "base programs are in this tool"],
        ),
    ] {
        let arguments = with(&flags);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        warns(&workbench, &arguments, &words)?;
    }
    for (key, words) in [
        ("cache_dir: x", ["`cache_dir`", "nothing is downloaded"]),
        ("lua_libs: [string]", ["`lua_libs`", "no script"]),
        (
            "validate_transform: true",
            ["`validate_transform`", "no script"],
        ),
        (
            "tokenizer: {pad_strategy: {fixed: 8}}",
            ["`tokenizer.pad_strategy`", "none is padded"],
        ),
    ] {
        let settings = format!("encoderfile:\n  path: {model}\n  {key}\n");
        workbench.write("encoderfile.yml", settings)?;
        warns(
            &workbench,
            &["build", "-f", "encoderfile.yml", "-o", "out"],
            &words,
        )?;
    }
    Ok(())
}

#[test]
fn what_this_is_not_is_refused() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    let model = fixture::folder("bert-embedding").display().to_string();
    for (settings, words) in [
        (
            format!("path: {model}\n  transform: |\n    return 1\n"),
            ["`transform`", "Lua"],
        ),
        (
            format!("path: {model}\n  model_type: image_classification\n"),
            ["`model_type`", "image_classification"],
        ),
        (
            format!(
                "path:\n    model_config_path: {model}/config.json\n    model_weights_path: {model}/model.onnx\n    tokenizer_path: {model}/tokenizer.json\n    preprocessor_config_path: p.json\n"
            ),
            ["`path.preprocessor_config_path`", "images"],
        ),
    ] {
        workbench.write("encoderfile.yml", format!("encoderfile:\n  {settings}"))?;
        workbench.refuses(&["build", "-f", "encoderfile.yml"], &words)?;
    }
    workbench.refuses(
        &["new-transform", "-m", "embedding"],
        &["new-transform", "Lua", "embedding"],
    )
}

#[test]
fn runtimes_are_in_the_tool() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    let listed = workbench.run(&["runtime", "list"])?;
    let lines: Vec<&str> = listed.text()?.lines().collect();
    let first = lines.first().context("nothing is listed")?;
    let (version, target) = first.split_once(' ').context("no target")?;
    ensure!(version == env!("CARGO_PKG_VERSION"), "{first}");
    ensure!(
        !lines.iter().any(|line| line.ends_with("bundle")),
        "{lines:?}"
    );
    let there = ["runtime", "add", target];
    warns(&workbench, &there, &["nothing to do", target])?;
    let elsewhere = ["runtime", "add", "riscv64gc-unknown-linux-gnu"];
    workbench.refuses(&elsewhere, &["riscv64gc", target, "--base FILE"])?;
    workbench.refuses(&["runtime", "remove", target], &["part of this tool"])
}

#[test]
fn a_file_of_texts_is_read_as_it_says() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    let program = workbench.build("bert-sequence_classification", &[], "program")?;
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

    for (name, content, line) in [
        ("bad.jsonl", "plain\n", "line 1"),
        ("bad.jsonl", "{\"text\": \"a\"}\nplain\n", "line 2"),
        ("bad.txt", "{\"text\": \"a\"}\n{\"text\": 1}\n", "line 2"),
        ("bad.txt", "\n\n{\"txt\": \"a\"}\n", "line 3"),
        ("bad.txt", "{\"text\": \"a\"\n", "line 1"),
        ("bad.json", "[{\"text\": \"a\"}]\n", "line 1"),
    ] {
        workbench.write(name, content)?;
        infer(&["--input", name])?.refused_midway(&[name, line, "JSON object with a `text`"])?;
    }
    workbench.write("input", "a\n")?;
    let told = ["--input", "input", "--input-format", "jsonl"];
    infer(&told)?.refused(&["input", "line 1", "--input-format text"])
}
