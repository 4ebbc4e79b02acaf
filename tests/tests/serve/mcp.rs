//! MCP as clients write it: what is wrong with a message is said in JSON-RPC's codes,
//! and what tools say of texts counts them as the call does.

use crate::bodies::message_to_mcp;
use crate::client::{Answer, post};
use anyhow::{Context, ensure};
use encoderfile_tests::process;
use encoderfile_tests::server::Server;
use encoderfile_tests::workbench::Workbench;
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

fn initialize(name: &str) -> Value {
    json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
        "protocolVersion": "2025-06-18", "capabilities": {},
        "clientInfo": { "name": name, "version": "1" },
    }})
}

fn request(id: u32, method: &str, params: &Value) -> Value {
    json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params })
}

/// A session over HTTP.
pub(crate) struct Session<'a> {
    server: &'a Server,
    id: String,
}

impl<'a> Session<'a> {
    pub(crate) fn open(server: &'a Server) -> anyhow::Result<Self> {
        let answer = message_to_mcp(server, None, &initialize("tests").to_string())?;
        let id = answer.header("mcp-session-id");
        let id = id.with_context(|| format!("{answer:?}"))?.to_owned();
        let session = Self { server, id };
        session.send(&json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }))?;
        Ok(session)
    }

    fn send(&self, message: &Value) -> anyhow::Result<Answer> {
        message_to_mcp(self.server, Some(&self.id), &message.to_string())
    }

    /// The answer to a request, which is the last event of a stream.
    fn ask(&self, method: &str, params: &Value) -> anyhow::Result<Value> {
        let answer = self.send(&request(1, method, params))?;
        let events = answer.text().lines();
        let mut events = events.filter_map(|line| line.strip_prefix("data: {"));
        let event = events.next_back().with_context(|| format!("{answer:?}"))?;
        Ok(serde_json::from_str(&format!("{{{event}"))?)
    }

    pub(crate) fn call(&self, tool: &str, arguments: &Value) -> anyhow::Result<Value> {
        let params = json!({ "name": tool, "arguments": arguments });
        Ok(self.ask("tools/call", &params)?["result"].take())
    }
}

#[test]
fn parameters_that_do_not_fit_are_no_unknown_method() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    let server = workbench.serve("st-mean-normalize", &["--disable-grpc", "--mcp"])?;
    let session = Session::open(&server)?;
    for (method, params, code, words) in [
        ("tools/call", json!({}), -32602, "missing field `name`"),
        ("tools/call", json!({ "name": 1 }), -32602, "`name`"),
        (
            "tools/call",
            json!({ "name": "embed", "arguments": "{}" }),
            -32602,
            "`arguments`",
        ),
        ("tools/erase", json!({}), -32601, "tools/erase"),
    ] {
        let answer = session.ask(method, &params)?;
        let error = &answer["error"];
        ensure!(
            error["code"] == code && answer["id"] == 1,
            "{params}: {answer}"
        );
        let message = error["message"].as_str().unwrap_or_default();
        ensure!(message.contains(words), "{params}: {answer}");
    }
    for body in [
        json!({ "jsonrpc": "2.0", "id": 7 }),
        json!({ "jsonrpc": "1.0", "id": 7, "method": "ping" }),
        json!({ "jsonrpc": "2.0", "id": 1.5, "method": "ping" }),
        json!({ "jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": ["embed"] }),
    ] {
        session.send(&body)?.refused(422, &["-32600"])?;
    }
    server.stop()?;
    Ok(())
}

#[test]
fn who_introduces_himself_at_length_has_no_session() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    let server = workbench.serve("st-mean-normalize", &["--disable-grpc", "--mcp"])?;
    let long = initialize(&"n".repeat(100_000)).to_string();
    let answer = message_to_mcp(&server, None, &long)?;
    answer.refused(413, &["`initialize` has", "limit 32768"])?;
    ensure!(answer.header("mcp-session-id").is_none(), "{answer:?}");
    // Other messages may be as long as any request.
    let session = Session::open(&server)?;
    let texts = vec!["text ".repeat(20); 1000];
    let embedded = session.call("embed", &json!({ "texts": texts, "dimensions": 2.0 }))?;
    let embeddings = &embedded["structuredContent"]["embeddings"];
    ensure!(
        embeddings.as_array().map(Vec::len) == Some(1000),
        "{embedded}"
    );
    ensure!(embeddings[0].as_array().map(Vec::len) == Some(2));
    server.stop()?;
    Ok(())
}

#[test]
fn a_source_is_none_of_the_texts() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    let server = workbench.serve("st-mean-normalize", &["--disable-grpc", "--mcp"])?;
    let long = "word ".repeat(3000);
    let session = Session::open(&server)?;
    let result = session.call(
        "similarity",
        &json!({ "source": long, "texts": ["a", long] }),
    )?;
    let result = &result["structuredContent"];
    let cut = &result["truncated"];
    ensure!(cut.as_array().map(Vec::len) == Some(1), "{result}");
    ensure!(cut[0]["index"] == 1, "{result}");
    let source = &result["truncated_source"];
    ensure!(source["tokens_used"] == cut[0]["tokens_used"], "{result}");
    ensure!(source["tokens_total"] == cut[0]["tokens_total"], "{result}");
    let result = session.call("similarity", &json!({ "source": "a", "texts": [long] }))?;
    let result = &result["structuredContent"];
    ensure!(result["truncated"][0]["index"] == 0, "{result}");
    ensure!(result["truncated_source"].is_null(), "{result}");

    let url = format!("{}/similarity", server.http());
    let compared = |source: &str, sentences: &[&str], truncate: bool| {
        let inputs = json!({ "source_sentence": source, "sentences": sentences });
        post(
            &url,
            &json!({ "inputs": inputs, "parameters": { "truncate": truncate } }),
        )
    };
    let answer = compared(&long, &["a", &long], true)?;
    let cut = answer.header("x-truncated-inputs").unwrap_or_default();
    ensure!(
        cut.starts_with("source;total=") && cut.contains(", 1;total="),
        "{cut}"
    );
    ensure!(
        answer.header("x-truncated-count") == Some("2"),
        "{answer:?}"
    );
    let answer = compared("a", &["a", &long], true)?;
    let cut = answer.header("x-truncated-inputs").unwrap_or_default();
    ensure!(cut.starts_with("1;total=") && !cut.contains(','), "{cut}");
    compared(&long, &["a"], false)?.refused(422, &["the source: the text has"])?;
    compared("a", &["a", &long], false)?.refused(422, &["text 2: the text has"])?;
    server.stop()?;
    Ok(())
}

#[test]
fn rerank_names_its_argument_by_either_name() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    let server = workbench.serve("ce-modules", &["--disable-grpc", "--mcp"])?;
    let session = Session::open(&server)?;
    // The older name is Cohere's.
    for name in ["top_k", "top_n"] {
        let arguments = json!({ "query": "a", "texts": ["b"], name: 0 });
        let said = session.call("rerank", &arguments)?;
        ensure!(said["isError"] == true, "{name}: {said}");
        ensure!(
            said["content"][0]["text"] == "`top_k` is 0",
            "{name}: {said}"
        );
    }
    server.stop()?;
    Ok(())
}

/// What `mcp` answers to lines on standard input.
fn answers(program: &Path, lines: Vec<u8>) -> anyhow::Result<Vec<Value>> {
    let mut command = Command::new(program);
    command.arg("mcp").env_clear();
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = process::spawn(command.stderr(Stdio::null()))?;
    let mut input = child.stdin.take().context("no standard input")?;
    let writer = thread::spawn(move || input.write_all(&lines));
    let mut text = String::new();
    let output = child.stdout.as_mut().context("no standard output")?;
    output.read_to_string(&mut text)?;
    let _ = writer.join();
    ensure!(child.wait()?.success(), "{text}");
    let answers = text.lines().map(serde_json::from_str);
    Ok(answers.collect::<Result<_, _>>()?)
}

#[test]
fn every_line_that_asks_is_answered() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    let program = workbench.built("st-mean-normalize", &[])?;
    let call = |id: u32| {
        let arguments = json!({ "texts": ["a"], "dimensions": 2 });
        request(
            id,
            "tools/call",
            &json!({ "name": "embed", "arguments": arguments }),
        )
        .to_string()
    };
    let lines = [
        format!("\u{feff}{}", initialize("tests")),
        r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#.to_owned(),
        "garbage".to_owned(),
        String::new(),
        r#"{"jsonrpc":"2.0","id":7}"#.to_owned(),
        request(
            8,
            "tools/call",
            &json!({ "name": "embed", "arguments": "x" }),
        )
        .to_string(),
        "x".repeat((16 << 20) + 1),
        call(9),
        // Without an end.
        call(10),
    ];
    let answers = answers(&program, lines.join("\n").into_bytes())?;
    let of = |id: Value| {
        let found = answers.iter().filter(move |answer| answer["id"] == id);
        found.collect::<Vec<_>>()
    };
    ensure!(answers.len() == 7, "{answers:?}");
    ensure!(
        of(json!(0))[0]["result"]["serverInfo"].is_object(),
        "{answers:?}"
    );
    let nobodys: Vec<&Value> = of(json!(null))
        .iter()
        .map(|it| &it["error"]["code"])
        .collect();
    ensure!(nobodys == [&json!(-32700), &json!(-32000)], "{answers:?}");
    ensure!(of(json!(7))[0]["error"]["code"] == -32600, "{answers:?}");
    ensure!(of(json!(8))[0]["error"]["code"] == -32602, "{answers:?}");
    for id in [9, 10] {
        let result = &of(json!(id))[0]["result"]["structuredContent"];
        ensure!(result["embeddings"][0].is_array(), "{answers:?}");
    }
    Ok(())
}
