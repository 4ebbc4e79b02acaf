//! `wasmtime serve`: the dialects of the server, an instance a request. It grants a component arguments and
//! folders only where it is told to (`-S cli`).

use super::component;
use anyhow::{Context, bail, ensure};
use encoderfile_tests::component_service::{REUSED, Served};
use encoderfile_tests::process;
use encoderfile_tests::target::WASI;
use encoderfile_tests::workbench::Workbench;
use serde_json::{Value, json};
use ureq::http::Request;

fn served(workbench: &Workbench, model: &str, options: &[&str]) -> anyhow::Result<Option<Served>> {
    let component = component(workbench, model)?;
    let wasmtime = workbench.programs().wasmtime.as_deref();
    wasmtime
        .map(|it| Served::start(it, options, &component))
        .transpose()
}

#[test]
fn dialects_answer_as_the_command_line_does() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    let model = "st-mean-normalize";
    let Some(server) = served(&workbench, model, &[])? else {
        return Ok(());
    };
    let module = workbench.built(model, &["--target", WASI])?;
    let mut run = super::run(&workbench, &module, WASI)?.context("no wasmtime")?;
    let expected = process::succeed(run.args(["infer", "a cat", "of the house"]))?.json()?;
    let request = json!({"inputs": ["a cat", "of the house"]}).to_string();
    let (status, body) = server.post("/predict", &request)?;
    let answer: Value = serde_json::from_str(&body)?;
    ensure!(
        status == 200 && answer["results"] == expected["results"],
        "{body}"
    );

    let vector = |body: &str, path: &str| -> anyhow::Result<Value> {
        let json: Value = serde_json::from_str(body)?;
        json.pointer(path).cloned().with_context(|| body.to_owned())
    };
    let expected = &expected["results"][0]["embedding"];
    for (path, request, place) in [
        (
            "/v1/embeddings",
            json!({"input": "a cat"}),
            "/data/0/embedding",
        ),
        ("/embed", json!({"inputs": "a cat"}), "/0"),
        ("/api/embed", json!({"input": "a cat"}), "/embeddings/0"),
        (
            "/v2/embed",
            json!({"texts": ["a cat"]}),
            "/embeddings/float/0",
        ),
    ] {
        let (status, body) = server.post(path, &request.to_string())?;
        ensure!(status == 200, "{path}: {body}");
        ensure!(vector(&body, place)? == *expected, "{path}: {body}");
    }
    for (path, words) in [
        ("/health", "OK!"),
        ("/info", "embedding_space_id"),
        ("/openapi.json", "/v1/embeddings"),
        ("/", "<html"),
        ("/ui/base.css", "{"),
    ] {
        let (status, body) = server.get(path)?;
        ensure!(
            status == 200 && body.contains(words),
            "{path}: {status} {body}"
        );
    }
    Ok(())
}

#[test]
fn mistakes_are_answered_and_the_server_lives() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    let Some(server) = served(&workbench, "st-mean-normalize", &[])? else {
        return Ok(());
    };
    let long = json!({"inputs": ["a ".repeat(5_000_000)]}).to_string();
    for (path, body, status, words) in [
        ("/predict", "{", 400, "error"),
        ("/predict", r#"{"inputs": []}"#, 400, "empty"),
        (
            "/predict",
            r#"{"inputs": ["a"], "dimension": 4}"#,
            422,
            "dimension",
        ),
        (
            "/rerank",
            r#"{"query": "a", "texts": ["b"]}"#,
            422,
            "rerank",
        ),
        ("/v1/nowhere", "{}", 404, "invalid_request_error"),
        ("/health", "{}", 405, "methods"),
        ("/predict", &long, 413, "bytes"),
    ] {
        let (got, answer) = server.post(path, body)?;
        if got != status || !answer.contains(words) {
            bail!("{path}: {got} {answer}");
        }
    }
    let zipped = Request::post(server.url("/predict"));
    let zipped = zipped.header("content-type", "application/json");
    let (status, answer) = server.ask(
        zipped
            .header("content-encoding", "gzip")
            .body("{}".into())?,
    )?;
    ensure!(
        status == 415 && answer.contains("compressed"),
        "{status} {answer}"
    );
    let (status, _) = server.get("/health")?;
    ensure!(status == 200);
    Ok(())
}

#[test]
fn an_instance_that_is_used_again_answers_as_a_new_one() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    let mut answers = Vec::new();
    for options in [&[][..], &REUSED] {
        let Some(server) = served(&workbench, "cls-multi-label", options)? else {
            return Ok(());
        };
        for body in [
            r#"{"inputs": ["a cat"]}"#,
            "{",
            r#"{"inputs": ["of the house"], "top_k": 1}"#,
            r#"{"inputs": ["a cat"]}"#,
        ] {
            answers.push(server.post("/predict", body)?);
        }
    }
    let (new, again) = answers.split_at(4);
    ensure!(new == again, "{answers:?}");
    ensure!(new[0] == new[3] && new[0].0 == 200, "{new:?}");
    Ok(())
}

/// The host grants an instance memory for short texts, and not for long ones.
#[test]
fn an_instance_without_memory_fails_alone() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    let limit = ["-W", "max-memory-size=8388608"];
    let Some(server) = served(&workbench, "st-mean-normalize", &limit)? else {
        return Ok(());
    };
    let short = r#"{"inputs": ["a cat"]}"#;
    let long = json!({"inputs": vec!["a cat sits on the mat ".repeat(20_000); 4]}).to_string();
    for (body, status) in [(short, 200), (&long, 500), (short, 200)] {
        let (got, answer) = server.post("/predict", body)?;
        let begin: String = answer.chars().take(200).collect();
        ensure!(got == status, "{got} {begin}");
    }
    Ok(())
}
