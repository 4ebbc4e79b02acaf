//! What is too much is refused, with what to do about it.

use crate::client::{get, post};
use crate::stage::{Stage, wait_for};
use anyhow::{Context, ensure};
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
    let Some(stage) = Stage::open()? else {
        return Ok(());
    };
    let limits = ["--max-client-batch-size", "3", "--max-input-chars", "10"];
    let arguments = [&["--disable-grpc", "--payload-limit", "1000"], &limits[..]].concat();
    let server = stage.serve("st-mean-normalize", &arguments)?;
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
fn a_full_queue_says_when_to_come_back() -> anyhow::Result<()> {
    let Some(stage) = Stage::open()? else {
        return Ok(());
    };
    let arguments = [
        "--disable-grpc",
        "--threads",
        "1",
        "--max-queued-tokens",
        "2000",
    ];
    let server = stage.serve_default(&arguments)?;
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
    let Some(stage) = Stage::open()? else {
        return Ok(());
    };
    let server = stage.serve_default(&["--disable-grpc", "--max-concurrent-requests", "1"])?;
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
