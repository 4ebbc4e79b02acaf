//! Clients that go away, or never come to the point.

use crate::client::{Wire, figure, get, post, wait_for};
use anyhow::ensure;
use encoderfile_tests::fixture::DEFAULT_MODEL;
use encoderfile_tests::workbench::Workbench;
use serde_json::json;

#[test]
fn work_whose_client_has_gone_is_dropped() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    let server = workbench.serve(DEFAULT_MODEL, &["--disable-grpc", "--threads", "1"])?;
    let texts = vec!["a text of some words, said again and again"; 2000];
    let body = json!({ "inputs": texts }).to_string();
    let mut wire = Wire::open(server.http())?;
    wire.say(&format!(
        "POST /embed HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    ))?;
    wait_for(&server, "te_queue_size", |waiting| waiting > 1500.0)?;
    drop(wire);
    wait_for(&server, "te_queue_size", |waiting| waiting == 0.0)?;
    post(
        &format!("{}/embed", server.http()),
        &json!({ "inputs": "a" }),
    )?
    .good()?;
    ensure!(figure(&server, "te_request_success")? == 1.0);
    ensure!(figure(&server, "encoderfile_queue_tokens")? == 0.0);
    server.stop()?;
    Ok(())
}

#[test]
fn who_takes_too_long_to_ask_is_cut_off() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    let server = workbench.serve(
        "st-mean-normalize",
        &["--disable-grpc", "--read-timeout", "1"],
    )?;
    let mut head = Wire::open(server.http())?;
    head.say("POST /embed HTTP/1.1\r\nhost: x\r\n")?;
    let mut body = Wire::open(server.http())?;
    body.say("POST /embed HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{")?;
    get(&format!("{}/health", server.http()))?.refused(200, &["OK!"])?;
    let heard = head.hear()?;
    ensure!(!heard.contains("200 OK"), "{heard}");
    let heard = body.hear()?;
    ensure!(heard.starts_with("HTTP/1.1 408 "), "{heard}");
    ensure!(heard.contains("took too long"), "{heard}");
    server.stop()?;
    Ok(())
}
