//! What other servers' clients and operators send beyond the dialects' main routes:
//! upstream's health and MCP flags, TEI's aliases and defaults, SageMaker's and Vertex
//! AI's routes, and Hugging Face's forms of a request.

use crate::client::{get, post, send};
use anyhow::{Context, ensure};
use encoderfile_tests::process::finish;
use encoderfile_tests::server::Server;
use encoderfile_tests::workbench::Workbench;
use serde_json::{Value, json};
use std::process::Command;
use ureq::http::Request;

const TEXTS: [&str; 2] = ["a text", "another text, with more words in it"];

fn ask(server: &Server, route: &str, body: Value) -> anyhow::Result<Value> {
    let answer = post(&format!("{}{route}", server.http()), &body)?;
    answer.good().with_context(|| format!("{route} {body}"))
}

#[test]
fn health_is_a_json_string() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    let server = workbench.serve("st-mean-normalize", &["--disable-grpc", "--api-key", "k"])?;
    for route in ["/health", "/ping"] {
        let answer = get(&format!("{}{route}", server.http()))?;
        ensure!(
            answer.status == 200 && answer.text() == r#""OK!""#,
            "{answer:?}"
        );
        ensure!(answer.header("content-type") == Some("application/json"));
    }
    server.stop()?;
    Ok(())
}

#[test]
fn teis_other_names_answer_alike() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    let server = workbench.serve("st-mean-normalize", &["--disable-grpc"])?;
    let openai = json!({ "input": TEXTS, "model": "any" });
    let expected = ask(&server, "/v1/embeddings", openai.clone())?;
    ensure!(ask(&server, "/embeddings", openai)? == expected);
    let nothing = post(
        &format!("{}/embeddings", server.http()),
        &json!({ "input": [] }),
    )?;
    nothing.refused(400, &[r#"{"error":{"message":"#])?;
    let embed = json!({ "inputs": TEXTS, "dimensions": 8 });
    let expected = ask(&server, "/embed", embed.clone())?;
    ensure!(ask(&server, "/invocations", embed.clone())? == expected);
    let vertex = ask(
        &server,
        "/vertex",
        json!({ "instances": [embed, { "inputs": "a" }] }),
    )?;
    ensure!(vertex["predictions"][0] == expected, "{vertex}");
    ensure!(vertex["predictions"][1] == ask(&server, "/embed", json!({ "inputs": "a" }))?);
    let sentences = json!({ "inputs": { "source_sentence": "a", "sentences": TEXTS } });
    let expected = ask(&server, "/similarity", sentences.clone())?;
    ensure!(ask(&server, "/invocations", sentences)? == expected);
    let vertex = format!("{}/vertex", server.http());
    let wrong = json!({ "instances": [{ "inputs": "a" }, { "inputs": 1 }] });
    post(&vertex, &wrong)?.refused(422, &["`instances[1]`", "inputs"])?;
    let many = json!({ "instances": vec![json!({ "inputs": "a" }); 2049] });
    post(&vertex, &many)?.refused(422, &["2049 `instances`", "limit 2048"])?;
    server.stop()?;
    Ok(())
}

#[test]
fn invocations_are_by_what_the_model_is() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    let same = |model: &str, cases: &[(&str, Value)]| -> anyhow::Result<()> {
        let server = workbench.serve(model, &["--disable-grpc"])?;
        for (route, body) in cases {
            let expected = ask(&server, route, body.clone())?;
            let got = ask(&server, "/invocations", body.clone())?;
            ensure!(
                got == expected,
                "{model}: {body} gives {got}, not {expected}"
            );
        }
        server.stop()?;
        Ok(())
    };
    let ranked = json!({ "query": "what is it?", "texts": TEXTS, "return_text": true });
    same(
        "ce-modules",
        &[
            ("/rerank", ranked.clone()),
            ("/", ranked),
            ("/predict", json!({ "inputs": [["a", "b"]] })),
        ],
    )?;
    same(
        "cls-pair-nli",
        &[
            (
                "/predict",
                json!({ "inputs": ["a", "b"], "truncate": true }),
            ),
            (
                "/",
                json!({ "inputs": "a", "parameters": { "candidate_labels": ["x", "y"] } }),
            ),
        ],
    )?;
    same(
        "splade-max",
        &[("/embed_sparse", json!({ "inputs": TEXTS }))],
    )?;
    same(
        "bert-token_classification",
        &[("/", json!({ "inputs": "Zoë flew" }))],
    )?;
    same(
        "bert-fill_mask",
        &[("/", json!({ "inputs": "a [MASK] text" }))],
    )
}

#[test]
fn default_prompts_are_for_requests_that_name_none() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    let program = workbench.built("st-prompts", &[])?;
    let embed = |arguments: &[&str], body: Value| -> anyhow::Result<Value> {
        let server = Server::start(&program, &[&["--disable-grpc"], arguments].concat())?;
        let got = ask(&server, "/embed", body)?;
        server.stop()?;
        Ok(got)
    };
    let text = json!({ "inputs": "a text" });
    let named = |name: &str| json!({ "inputs": "a text", "prompt_name": name });
    let query = embed(&[], named("query"))?;
    let document = embed(&[], named("document"))?;
    ensure!(query != document);
    ensure!(embed(&["--default-prompt-name", "query"], text.clone())? == query);
    ensure!(embed(&["--default-prompt-name", "query"], named("document"))? == document);
    let prompted = embed(&[], json!({ "inputs": "go: a text" }))?;
    let plain = embed(&["--default-prompt", ""], text.clone())?;
    ensure!(
        embed(&["--default-prompt", "go: "], text)?
            == embed(&["--default-prompt", ""], json!({ "inputs": "go: a text" }))?
    );
    ensure!(plain != query && !prompted.is_null());

    let server = Server::start(&program, &["--disable-grpc", "--default-prompt", "go: "])?;
    let tokens = ask(&server, "/tokenize", json!({ "inputs": "x" }))?;
    let stop = tokens[0]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|it| it["stop"].as_u64());
    ensure!(stop.max() == Some(5), "{tokens}");
    server.stop()?;

    let refused = |program: &std::path::Path, arguments: &[&str], words: &[&str]| {
        workbench
            .finish(
                program,
                &[
                    &["serve", "--http-port", "0", "--grpc-port", "0"],
                    arguments,
                ]
                .concat(),
            )?
            .refused(words)
    };
    refused(
        &program,
        &["--default-prompt-name", "title"],
        &["--default-prompt-name", "`title`", "document, query"],
    )?;
    let tokens = workbench.built("bert-token_classification", &[])?;
    refused(
        &tokens,
        &["--default-prompt", "x"],
        &["--default-prompt", "token_classification"],
    )
}

#[test]
fn another_pooling_is_another_model() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    let start = |model: &str, pooling: &str| {
        workbench.serve(model, &["--disable-grpc", "--pooling", pooling])
    };
    let own = workbench.serve("st-mean-normalize", &["--disable-grpc"])?;
    let rows = ask(&own, "/embed_all", json!({ "inputs": TEXTS[0] }))?;
    let mean = ask(&own, "/embed", json!({ "inputs": TEXTS[0] }))?;
    let info = get(&format!("{}/info", own.http()))?.good()?;
    own.stop()?;
    // Normalised as the folder says, whatever is pooled.
    let unit = |row: &Value| -> Vec<f64> {
        let row: Vec<f64> = row
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_f64)
            .collect();
        let norm = row.iter().map(|it| it * it).sum::<f64>().sqrt();
        row.iter().map(|it| it / norm).collect()
    };
    let last = rows[0].as_array().map_or(0, Vec::len) - 1;
    for (pooling, row) in [("cls", &rows[0][0]), ("last-token", &rows[0][last])] {
        let server = start("st-mean-normalize", pooling)?;
        let got = unit(&ask(&server, "/embed", json!({ "inputs": TEXTS[0] }))?[0]);
        let expected = unit(row);
        let differs = got.iter().zip(&expected).map(|(a, b)| (a - b).abs());
        ensure!(
            got.len() == expected.len() && differs.fold(0.0, f64::max) < 1e-6,
            "{pooling}"
        );
        let other = get(&format!("{}/info", server.http()))?.good()?;
        ensure!(
            other["embedding_space_id"] != info["embedding_space_id"],
            "{pooling}"
        );
        server.stop()?;
    }
    let server = start("st-mean-normalize", "mean")?;
    ensure!(ask(&server, "/embed", json!({ "inputs": TEXTS[0] }))? == mean);
    let same = get(&format!("{}/info", server.http()))?.good()?;
    ensure!(same["embedding_space_id"] == info["embedding_space_id"]);
    server.stop()?;
    Ok(())
}

#[test]
fn pooling_makes_text_embeddings_of_other_heads() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    let start = |model: &str, pooling: &str| {
        workbench.serve(model, &["--disable-grpc", "--pooling", pooling])
    };
    let server = start("bert-embedding", "cls")?;
    let cls = ask(
        &server,
        "/embed",
        json!({ "inputs": "a", "normalize": false }),
    )?;
    let info = get(&format!("{}/info", server.http()))?.good()?;
    ensure!(
        info["model_type"]["embedding"]["pooling"] == "cls",
        "{info}"
    );
    let all = ask(&server, "/embed_all", json!({ "inputs": "a" }))?;
    ensure!(cls[0] == all[0][0]);
    server.stop()?;
    let server = start("bert-fill_mask", "splade")?;
    ensure!(ask(&server, "/embed_sparse", json!({ "inputs": "a" }))?[0][0]["index"].is_u64());
    server.stop()?;
    Ok(())
}

#[test]
fn upstreams_flags_of_mcp_mean_http() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    let program = workbench.built("st-mean-normalize", &[])?;
    let initialize = json!({
        "jsonrpc": "2.0", "id": 1, "method": "initialize",
        "params": {
            "protocolVersion": "2025-06-18", "capabilities": {},
            "clientInfo": { "name": "a test", "version": "1" },
        },
    });
    for arguments in [
        ["--port", "0"].as_slice(),
        &["--port", "0", "--hostname", "localhost"],
        &["--http", "--port", "0"],
    ] {
        let server = Server::start_mcp(&program, arguments)?;
        let request = Request::post(format!("{}/mcp", server.http()))
            .header("content-type", "application/json")
            .header("accept", "application/json, text/event-stream");
        let answer = send(request.body(initialize.to_string())?)?;
        ensure!(
            answer.status == 200 && answer.text().contains("serverInfo"),
            "{answer:?}"
        );
        server.stop()?;
    }
    // Nothing on standard input: who started it has gone.
    let mut alone = Command::new(&program);
    let finished = finish(alone.arg("mcp").env_clear())?;
    ensure!(!finished.stderr.contains("listening"), "{finished:?}");
    Ok(())
}

#[test]
fn flags_of_onnx_runtime_have_no_effect() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    let program = workbench.built("st-mean-normalize", &[])?;
    let flags = ["--execution-provider", "cuda", "--device-id", "0"];
    let arguments = [
        &[
            "--disable-grpc",
            "--enable-otel",
            "--otel-exporter-url",
            "http://127.0.0.1:9",
        ],
        &flags[..],
    ]
    .concat();
    let server = Server::start(&program, &arguments)?;
    let said = server.said();
    ensure!(
        said.contains("--execution-provider, --device-id have no effect"),
        "{said}"
    );
    drop(server);
    let plain = workbench.finish(&program, &["infer", "a"])?.succeeded()?;
    let finished = workbench
        .finish(&program, &[&["infer", "a"], &flags[..]].concat())?
        .succeeded()?;
    ensure!(finished.stdout == plain.stdout);
    ensure!(finished.stderr.lines().count() == 1, "{}", finished.stderr);
    let alone = [
        "infer",
        "a",
        "--execution-provider",
        "cuda",
        "--disable-cpu-fallback",
    ];
    workbench
        .finish(&program, &alone)?
        .refused(&["cuda", "on the CPU alone"])
}

#[test]
fn hugging_faces_forms_of_a_request() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    let server = workbench.serve("cls-pair-nli", &["--disable-grpc"])?;
    let labels =
        |labels: Value| json!({ "inputs": "a", "parameters": { "candidate_labels": labels } });
    let listed = ask(&server, "/", labels(json!(["travel", "a crime"])))?;
    ensure!(ask(&server, "/", labels(json!(" travel, a crime,")))? == listed);

    let pair = json!({ "text": "a", "text_pair": "b" });
    let tei = ask(
        &server,
        "/predict",
        json!({ "inputs": [["a", "b"], ["a"]] }),
    )?;
    let one = ask(&server, "/", json!({ "inputs": pair }))?;
    ensure!(one[0] == tei[0], "{one} {tei}");
    let alone = json!({ "text": "a", "text_pair": null });
    let several = ask(&server, "/", json!({ "inputs": [pair, "a", alone] }))?;
    ensure!(several == json!([tei[0], tei[1], tei[1]]), "{several}");

    let long = "word ".repeat(3000);
    let truncation =
        |value: Value| json!({ "inputs": long, "parameters": { "truncation": value } });
    let cut = ask(&server, "/", truncation(json!(true)))?;
    ensure!(ask(&server, "/", truncation(json!("only_first")))? == cut);
    ensure!(ask(&server, "/", truncation(Value::Null))? == cut);
    let url = format!("{}/", server.http());
    for no in [json!(false), json!("do_not_truncate")] {
        post(&url, &truncation(no))?.refused(422, &["tokens, the model takes"])?;
    }
    post(&url, &truncation(json!("middle")))?.refused(422, &["truncation", "longest_first"])?;
    let shorter = json!({ "inputs": "one two three four", "parameters": { "truncation": true, "max_length": 4, "padding": true } });
    let first = ask(&server, "/", json!({ "inputs": "one two" }))?;
    ensure!(ask(&server, "/", shorter)? == first);
    server.stop()?;

    let server = workbench.serve("st-mean-normalize", &["--disable-grpc"])?;
    let url = format!("{}/", server.http());
    let refused = post(
        &url,
        &json!({ "inputs": long, "parameters": { "truncation": false } }),
    )?;
    refused.refused(422, &["tokens, the model takes"])?;
    let pair = json!({ "inputs": { "text": "a", "text_pair": "b" } });
    post(&url, &pair)?.refused(422, &["text_pair", "sentence_embedding"])?;
    server.stop()?;
    Ok(())
}
