//! Every request that has reference results gives over HTTP exactly what
//! `infer` gives for it, and that has been compared with the reference.

use crate::client::post;
use anyhow::ensure;
use encoderfile_tests::fixture::{self, Fixture};
use encoderfile_tests::process;
use encoderfile_tests::request::{self, Request};
use encoderfile_tests::server::Server;
use encoderfile_tests::workbench::Workbench;
use serde_json::{Map, Value, json};
use std::fs;
use std::path::Path;
use std::process::Command;

/// Requests with reference results.
const REQUESTS_MIN: usize = 140;

#[test]
fn predict_gives_what_infer_gives() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    let mut compared = 0;
    for fixture in fixture::all()? {
        if fixture.requests.is_empty() {
            continue;
        }
        compared += compare(&workbench, &fixture)?;
    }
    ensure!(compared >= REQUESTS_MIN, "only {compared} requests");
    println!("{compared} requests are answered as by infer");
    Ok(())
}

fn compare(workbench: &Workbench, fixture: &Fixture) -> anyhow::Result<usize> {
    // Removed below: of so many models, not all files are to be there at once.
    let program = workbench.build_folder(&fixture.folder, &[], &fixture.name)?;
    let server = Server::start(&program, &["--disable-grpc"])?;
    for request in &fixture.requests {
        let expected = infer(workbench, &program, request)?;
        let got = predict(&server, request)?;
        ensure!(
            got == expected,
            "{}, {}: {got:?} and from infer {expected:?}",
            fixture.name,
            request.name
        );
    }
    server.stop()?;
    fs::remove_file(program)?;
    Ok(fixture.requests.len())
}

fn infer(workbench: &Workbench, program: &Path, request: &Request) -> anyhow::Result<Vec<Value>> {
    let lines: Result<Vec<String>, _> = request.items.iter().map(serde_json::to_string).collect();
    let input = workbench.folder().join("items.jsonl");
    fs::write(&input, lines?.join("\n"))?;
    let mut infer = Command::new(program);
    infer.args(["infer", "-f", "jsonl", "--input"]).arg(&input);
    let finished = process::succeed(infer.args(request::arguments(&request.options)))?;
    let lines = finished.text()?.lines();
    let values: Result<Vec<Value>, _> = lines.map(serde_json::from_str).collect();
    Ok(values?)
}

fn predict(server: &Server, request: &Request) -> anyhow::Result<Vec<Value>> {
    let items = request.items.iter().map(|item| match &item.text_pair {
        None => json!(item.text),
        Some(pair) => json!({ "text": item.text, "text_pair": pair }),
    });
    let mut body: Map<String, Value> = request.options.clone();
    body.insert("inputs".into(), items.collect());
    // Said by something that only this API has, lest it be taken for TEI's.
    body.insert("metadata".into(), json!({}));
    let answer = post(&format!("{}/predict", server.http()), &body.into())?.good()?;
    Ok(answer["results"].as_array().cloned().unwrap_or_default())
}
