//! What is too much is refused, with what to do about it.

use crate::client::{get, post, wait_for};
use anyhow::{Context, ensure};
use encoderfile_tests::fixture::DEFAULT_MODEL;
use encoderfile_tests::workbench::Workbench;
use serde_json::{Value, json};
use std::thread;

/// A second or so of work for the model that the tool carries.
fn much() -> Value {
    let texts: Vec<String> = (0..1000)
        .map(|n| format!("the text with number {n}"))
        .collect();
    json!({ "inputs": texts })
}

#[test]
fn too_many_texts_characters_or_bytes() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    let limits = ["--max-client-batch-size", "3", "--max-input-chars", "10"];
    let arguments = [&["--disable-grpc", "--payload-limit", "1000"], &limits[..]].concat();
    let server = workbench.serve("st-mean-normalize", &arguments)?;
    let url = format!("{}/embed", server.http());
    post(&url, &json!({ "inputs": ["a", "b", "c"] }))?.good()?;
    let texts = post(&url, &json!({ "inputs": ["a", "b", "c", "d"] }))?;
    texts.refused(422, &["4 texts", "limit 3", "--max-client-batch-size"])?;
    post(&url, &json!({ "inputs": "0123456789" }))?.good()?;
    let characters = post(&url, &json!({ "inputs": ["a", "ééééééééééé"] }))?;
    characters.refused(
        422,
        &["text 2: 11 characters", "limit 10", "--max-input-chars"],
    )?;
    let bytes = post(&url, &json!({ "inputs": "a".repeat(2000) }))?;
    bytes.refused(413, &["1000 bytes", "--payload-limit"])?;
    server.stop()?;
    Ok(())
}

#[test]
fn options_that_make_much_of_a_short_request() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    let limits = ["--max-client-batch-size", "10", "--max-input-chars", "100"];
    let arguments = [&["--disable-grpc"], &limits[..]].concat();
    let server = workbench.serve("cls-pair-nli", &arguments)?;
    let url = format!("{}/predict", server.http());
    let text = "twenty characters is";
    let labels = |count: usize| vec!["a"; count];
    // 20 characters and a label of 1, four times, are 84.
    post(&url, &json!({ "inputs": [text], "labels": labels(4) }))?.good()?;
    let five = post(&url, &json!({ "inputs": [text], "labels": labels(5) }))?;
    five.refused(422, &["read 5 times", "limit 100", "--max-input-chars"])?;
    let many = post(&url, &json!({ "inputs": ["a"], "labels": labels(11) }))?;
    many.refused(422, &["11 `labels`", "limit 10"])?;
    let template = format!("{} {{}}", "x".repeat(100));
    let long = json!({ "inputs": ["a"], "labels": ["a"], "template": template });
    post(&url, &long)?.refused(422, &["beside them", "--max-input-chars"])?;
    server.stop()?;

    let server = workbench.serve("bert-token_classification", &arguments)?;
    let url = format!("{}/predict", server.http());
    let windows = |stride: usize| {
        let text = "a text of thirty characters ok";
        json!({ "inputs": [text], "aggregation": "simple", "stride": stride })
    };
    post(&url, &windows(8))?.good()?;
    let most = post(&url, &windows(60))?;
    most.refused(422, &["times", "limit 100"])?;
    server.stop()?;

    let server = workbench.serve("st-mean-normalize", &arguments)?;
    let ids = json!({ "inputs": vec![5; 26] });
    let ids = post(&format!("{}/embed", server.http()), &ids)?;
    ids.refused(422, &["104 characters", "limit 100"])?;
    server.stop()?;
    Ok(())
}

#[test]
fn a_full_queue_says_when_to_come_back() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    let arguments = [
        "--disable-grpc",
        "--threads",
        "1",
        "--max-queued-tokens",
        "2000",
    ];
    let server = workbench.serve(DEFAULT_MODEL, &arguments)?;
    let url = format!("{}/embed", server.http());
    thread::scope(|scope| {
        let first = scope.spawn(|| post(&url, &much()));
        wait_for(&server, "te_queue_size", |waiting| waiting > 500.0)?;
        let second = post(&url, &json!({ "inputs": "a text" }))?;
        second.refused(429, &["Overloaded", "--max-queued-tokens"])?;
        let seconds = second.header("retry-after").context("no Retry-After")?;
        ensure!((1..=60).contains(&seconds.parse::<u64>()?), "{seconds}");
        // Neither asks for the queue.
        get(&format!("{}/health", server.http()))?.refused(200, &["OK!"])?;
        let answer = first
            .join()
            .map_err(|_| anyhow::anyhow!("panic"))??
            .good()?;
        ensure!(answer.as_array().map(Vec::len) == Some(1000));
        anyhow::Ok(())
    })?;
    post(&url, &json!({ "inputs": "a text" }))?.good()?;
    server.stop()?;
    Ok(())
}

#[test]
fn too_many_requests_at_once() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    let server = workbench.serve(
        DEFAULT_MODEL,
        &["--disable-grpc", "--max-concurrent-requests", "1"],
    )?;
    let url = format!("{}/embed", server.http());
    thread::scope(|scope| {
        let first = scope.spawn(|| post(&url, &much()));
        wait_for(&server, "te_queue_size", |waiting| waiting > 0.0)?;
        let second = post(
            &format!("{}/v1/embeddings", server.http()),
            &json!({ "input": "a" }),
        )?;
        second.refused(429, &["rate_limit_exceeded", "--max-concurrent-requests"])?;
        first
            .join()
            .map_err(|_| anyhow::anyhow!("panic"))??
            .good()?;
        anyhow::Ok(())
    })?;
    server.stop()?;
    Ok(())
}

/// Refused for how many there are, whatever they are, before any is held.
#[test]
fn many_small_values_are_counted_before_they_are_read() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    let server = workbench.serve("st-mean-normalize", &["--disable-grpc", "--mcp"])?;
    let url = |route: &str| format!("{}{route}", server.http());
    let words = &["limit 131072", "--max-client-batch-size"];
    for value in [json!({}), json!([]), json!("")] {
        let many = json!({ "inputs": vec![value; 200_000] });
        for route in ["/embed", "/predict", "/", "/invocations", "/mcp"] {
            post(&url(route), &many)?.refused(422, words)?;
        }
    }
    // The caller's own may be many.
    let metadata = json!({ "inputs": ["a"], "metadata": { "all": vec!["x"; 100_000] } });
    post(&url("/predict"), &metadata)?.good()?;
    server.stop()?;
    Ok(())
}
