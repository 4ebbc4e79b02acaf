//! What a request may look like, and how a refusal says what is wrong with it: in the
//! dialect's own words, and never in Rust's.

use crate::client::{Answer, get, post, send, send_any};
use anyhow::{Context, ensure};
use encoderfile_tests::server::Server;
use encoderfile_tests::workbench::Workbench;
use serde_json::{Value, json};
use ureq::http::Request;

fn ask(server: &Server, route: &str, body: &Value) -> anyhow::Result<Answer> {
    post(&format!("{}{route}", server.http()), body).with_context(|| format!("{route} {body}"))
}

fn good(server: &Server, route: &str, body: &Value) -> anyhow::Result<Value> {
    let answer = ask(server, route, body)?.good();
    answer.with_context(|| format!("{route} {body}"))
}

/// Each a route, a body, and words of the refusal.
fn all_refused(server: &Server, cases: &[(&str, Value, &[&str])]) -> anyhow::Result<()> {
    for (route, body, words) in cases {
        let answer = ask(server, route, body)?;
        let refused = answer.refused(422, words);
        refused.with_context(|| format!("{route} {body}"))?;
        for rusts in ["usize", "u32", "i64", "f32", "f64", "struct ", "`?`"] {
            ensure!(
                !answer.text().contains(rusts),
                "{route} {body}: {rusts} in {answer:?}"
            );
        }
    }
    Ok(())
}

#[test]
fn a_request_is_an_object() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    let server = workbench.serve("st-mean-normalize", &["--disable-grpc"])?;
    let document = get(&format!("{}/openapi.json", server.http()))?.good()?;
    let paths = document["paths"].as_object().context("no paths")?;
    let routes = paths.iter().filter(|(_, item)| item["post"].is_object());
    let mut tried = 0;
    for (route, _) in routes {
        // What would be a request by the places of its fields.
        for list in [json!(["hello"]), json!(["model", "hello", null]), json!([])] {
            ask(&server, route, &list)?
                .refused(422, &["an object"])
                .context(route.clone())?;
            tried += 1;
        }
    }
    ensure!(tried > 30, "only {tried} requests");
    let similarity = json!({ "source_sentence": "a", "sentences": ["b"] });
    let cases: [(&str, Value, &[&str]); 4] = [
        (
            "/similarity",
            json!({ "inputs": ["a", ["b"]] }),
            &["`inputs`", "an object"],
        ),
        (
            "/similarity",
            json!({ "inputs": similarity, "parameters": [true] }),
            &["`parameters`", "an object"],
        ),
        (
            "/api/embed",
            json!({ "input": "a", "options": [512] }),
            &["`options`", "an object"],
        ),
        (
            "/api/embeddings",
            json!({ "prompt": "a", "options": [512] }),
            &["`options`", "an object"],
        ),
    ];
    all_refused(&server, &cases)?;
    server.stop()?;

    let server = workbench.serve("ce-modules", &["--disable-grpc"])?;
    let documents = json!({ "query": "a", "documents": ["b", ["c"]] });
    all_refused(&server, &[("/v1/rerank", documents, &["documents"])])?;
    server.stop()?;
    Ok(())
}

/// A request with a count in it.
type WithCount = fn(Value) -> Value;

fn same_counts(server: &Server, requests: &[(&str, WithCount)]) -> anyhow::Result<()> {
    let lasting = |mut answer: Value| {
        for passing in ["id", "total_duration"] {
            if let Some(members) = answer.as_object_mut() {
                members.remove(passing);
            }
        }
        answer
    };
    for (route, with) in requests {
        let expected = lasting(good(server, route, &with(json!(3)))?);
        let got = lasting(good(server, route, &with(json!(3.0)))?);
        ensure!(got == expected, "{route}: {got}, not {expected}");
        let wrong = [
            json!(2.5),
            json!("3"),
            json!([3]),
            json!(true),
            json!(1e300),
        ];
        for wrong in wrong {
            all_refused(server, &[(route, with(wrong), &["a whole number"])])?;
        }
    }
    Ok(())
}

#[test]
fn counts_are_whole_numbers_however_they_are_written() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    let server = workbench.serve("st-mean-normalize", &["--disable-grpc"])?;
    let embeddings: [(&str, WithCount); 8] = [
        ("/embed", |it| json!({ "inputs": "a", "dimensions": it })),
        (
            "/invocations",
            |it| json!({ "inputs": "a", "dimensions": it }),
        ),
        (
            "/predict",
            |it| json!({ "inputs": ["a"], "dimensions": it }),
        ),
        (
            "/predict",
            |it| json!({ "inputs": ["a"], "max_tokens": it }),
        ),
        (
            "/v1/embeddings",
            |it| json!({ "input": "a", "dimensions": it }),
        ),
        ("/", |it| json!({ "inputs": "a", "dimensions": it })),
        (
            "/",
            |it| json!({ "inputs": "a", "parameters": { "max_length": it } }),
        ),
        (
            "/api/embed",
            |it| json!({ "input": "a", "dimensions": it, "options": { "num_ctx": it } }),
        ),
    ];
    same_counts(&server, &embeddings)?;
    server.stop()?;

    let server = workbench.serve("ce-modules", &["--disable-grpc"])?;
    let rerankers: [(&str, WithCount); 3] = [
        (
            "/v1/rerank",
            |it| json!({ "query": "a", "documents": ["b", "c", "d", "e"], "top_n": it }),
        ),
        (
            "/v2/rerank",
            |it| json!({ "query": "a", "documents": ["b", "c", "d", "e"], "top_n": it, "max_tokens_per_doc": it }),
        ),
        (
            "/predict",
            |it| json!({ "query": "a", "inputs": ["b", "c", "d", "e"], "top_k": it }),
        ),
    ];
    same_counts(&server, &rerankers)?;
    server.stop()?;

    let server = workbench.serve("bert-token_classification", &["--disable-grpc"])?;
    let spans: [(&str, WithCount); 2] = [
        ("/", |it| json!({ "inputs": "a", "stride": it })),
        (
            "/predict",
            |it| json!({ "inputs": ["a"], "aggregation": "simple", "stride": it }),
        ),
    ];
    same_counts(&server, &spans)?;
    server.stop()?;
    Ok(())
}

#[test]
fn a_refusal_has_the_names_of_the_request() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    let server = workbench.serve("ce-modules", &["--disable-grpc"])?;
    let documents = json!({ "query": "a", "documents": ["b"], "top_n": 0 });
    let cases: [(&str, Value, &[&str]); 3] = [
        ("/v1/rerank", documents.clone(), &["`top_n` is 0"]),
        ("/v2/rerank", documents, &["`top_n` is 0"]),
        (
            "/predict",
            json!({ "query": "a", "inputs": ["b"], "top_k": 0 }),
            &["`top_k` is 0"],
        ),
    ];
    all_refused(&server, &cases)?;
    server.stop()?;

    let server = workbench.serve("cls-pair-nli", &["--disable-grpc"])?;
    let zero_shot = |parameters: Value| json!({ "inputs": "a", "parameters": parameters });
    let cases: [(&str, Value, &[&str]); 5] = [
        (
            "/",
            zero_shot(json!({ "candidate_labels": [] })),
            &["`candidate_labels` is empty"],
        ),
        (
            "/",
            zero_shot(json!({ "candidate_labels": ["x"], "hypothesis_template": "none" })),
            &["`hypothesis_template` \\\"none\\\""],
        ),
        (
            "/invocations",
            zero_shot(json!({ "candidate_labels": ["x"], "hypothesis_template": "none" })),
            &["`hypothesis_template` \\\"none\\\""],
        ),
        (
            "/",
            zero_shot(json!({ "truncation": true, "max_length": 0 })),
            &["`max_length` is 0"],
        ),
        (
            "/predict",
            json!({ "inputs": ["a"], "labels": [] }),
            &["`labels` is empty"],
        ),
    ];
    all_refused(&server, &cases)?;
    server.stop()?;

    let server = workbench.serve("bert-token_classification", &["--disable-grpc"])?;
    let cases: [(&str, Value, &[&str]); 3] = [
        (
            "/",
            json!({ "inputs": "a", "parameters": { "truncation": false, "stride": 3 } }),
            &["`stride` and `truncation: false`"],
        ),
        (
            "/",
            json!({ "inputs": "a", "parameters": { "aggregation_strategy": "none", "stride": 3 } }),
            &["`stride` needs an `aggregation_strategy`"],
        ),
        (
            "/",
            json!({ "inputs": "a b c d e f g", "truncation": false, "max_length": 3 }),
            &["`max_length` is 3"],
        ),
    ];
    all_refused(&server, &cases)?;
    server.stop()?;
    Ok(())
}

#[test]
fn a_refusal_names_the_field_as_each_dialect_does() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    let server = workbench.serve("st-mean-normalize", &["--disable-grpc"])?;
    let param = |body: Value| -> anyhow::Result<Value> {
        let answer = ask(&server, "/v1/embeddings", &body)?;
        ensure!(answer.status >= 400, "{answer:?}");
        Ok(answer.json()?["error"]["param"].clone())
    };
    for dimensions in [json!(0), json!(100_000), json!("x")] {
        ensure!(param(json!({ "input": "a", "dimensions": dimensions }))? == "dimensions");
    }
    ensure!(param(json!({ "input": [] }))? == "input");
    ensure!(param(json!({ "input": { "a": 1 } }))? == "input");
    let ollama =
        json!({ "input": "one two three four", "truncate": false, "options": { "num_ctx": 3 } });
    ask(&server, "/api/embed", &ollama)?.refused(400, &["`num_ctx` is 3", "context length"])?;
    server.stop()?;
    Ok(())
}

#[test]
fn what_contradicts_itself_is_refused() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    let server = workbench.serve("ce-modules", &["--disable-grpc"])?;
    let query = |partial: bool| json!({ "query": "a", "inputs": ["b"], "partial": partial });
    all_refused(
        &server,
        &[("/predict", query(true), &["`query` and `partial`"])],
    )?;
    good(&server, "/predict", &query(false))?;
    server.stop()?;

    let server = workbench.serve("st-mean-normalize", &["--disable-grpc"])?;
    let both = |truncate: bool, truncation: &str| json!({ "inputs": "a", "truncate": truncate, "parameters": { "truncation": truncation } });
    let words: &[&str] = &["`truncate` and `truncation`"];
    let cases = [
        ("/", both(true, "do_not_truncate"), words),
        ("/", both(false, "longest_first"), words),
    ];
    all_refused(&server, &cases)?;
    good(&server, "/", &both(false, "do_not_truncate"))?;
    good(&server, "/", &both(true, "longest_first"))?;
    server.stop()?;
    Ok(())
}

#[test]
fn invocations_take_what_the_root_takes() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    let same = |model: &str, bodies: &[Value]| -> anyhow::Result<()> {
        let server = workbench.serve(model, &["--disable-grpc"])?;
        for body in bodies {
            let expected = good(&server, "/", body)?;
            let got = good(&server, "/invocations", body)?;
            ensure!(got == expected, "{model} {body}: {got}, not {expected}");
            let several = json!({ "instances": [body, body] });
            let got = good(&server, "/vertex", &several)?;
            let expected = json!([expected, expected]);
            ensure!(got["predictions"] == expected, "{model} {body}: {got}");
        }
        server.stop()?;
        Ok(())
    };
    let text = json!({ "inputs": { "text": "a" } });
    let waiting = json!({ "inputs": "a", "options": { "wait_for_model": true }, "parameters": {} });
    let sentences = json!({ "source_sentence": "a", "sentences": ["b", "c"] });
    same(
        "st-mean-normalize",
        &[
            text.clone(),
            waiting.clone(),
            json!({ "inputs": sentences }),
            json!({ "inputs": sentences, "parameters": {} }),
            json!({ "inputs": "a", "encoding_format": "base64" }),
            json!({ "inputs": ["a", { "text": "b" }] }),
        ],
    )?;
    same(
        "cls-pair-nli",
        &[
            text.clone(),
            json!({ "inputs": { "text": "a", "text_pair": "b" } }),
            json!({ "inputs": [{ "text": "a", "text_pair": "b" }] }),
            json!({ "inputs": "a", "top_k": 1 }),
            json!({ "inputs": "a", "candidate_labels": ["x", "y"] }),
        ],
    )?;
    same("splade-max", &[text.clone(), waiting.clone()])?;
    same("bert-token_classification", &[text, waiting.clone()])?;

    // A classifier's own form is TEI's still, whatever clients say of waiting.
    let server = workbench.serve("cls-pair-nli", &["--disable-grpc"])?;
    let tei = good(&server, "/predict", &json!({ "inputs": "a" }))?;
    ensure!(good(&server, "/invocations", &waiting)? == tei);
    let unknown = json!({ "inputs": "a", "nromalize": true });
    all_refused(&server, &[("/invocations", unknown, &["nromalize"])])?;
    server.stop()?;
    Ok(())
}

#[test]
fn a_byte_order_mark_before_a_body_is_nothing() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    let server = workbench.serve("st-mean-normalize", &["--disable-grpc"])?;
    let expected = good(&server, "/embed", &json!({ "inputs": "a" }))?;
    let request = Request::post(format!("{}/embed", server.http()))
        .header("content-type", "application/json");
    let marked = send(request.body("\u{feff}{\"inputs\": \"a\"}".to_owned())?)?;
    ensure!(marked.good()? == expected);
    server.stop()?;
    Ok(())
}

#[test]
fn models_have_names_with_slashes_or_none_that_is_text() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    let arguments = ["--disable-grpc", "--served-model-name", "owner/model"];
    let server = workbench.serve("st-mean-normalize", &arguments)?;
    let model = |name: &str| get(&format!("{}/v1/models/{name}", server.http()));
    for name in ["owner/model", "owner%2Fmodel"] {
        ensure!(model(name)?.good()?["id"] == "owner/model", "{name}");
    }
    let other = model("model")?;
    other.refused(
        404,
        &["model_not_found", r#""param":"model""#, "owner/model"],
    )?;
    model("%FF")?.refused(400, &[r#"{"error":{"message":"#, "UTF-8"])?;
    let document = get(&format!("{}/openapi.json", server.http()))?.good()?;
    ensure!(document["paths"]["/v1/models/{model}"]["get"].is_object());
    server.stop()?;
    Ok(())
}

/// What a client writes is in the log only as part of a line, and not all of it.
#[test]
fn nobody_writes_lines_of_the_log() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    let server = workbench.serve("st-mean-normalize", &["--disable-grpc", "--mcp"])?;
    let forged = "x\nINFO forged: line\r\u{1b}[2J\u{0}";
    let cases: [(&str, Value); 5] = [
        (
            "/embed",
            json!({ "inputs": "a", "truncation_direction": forged }),
        ),
        ("/predict", json!({ "inputs": ["a"], forged: 1 })),
        (
            "/predict",
            json!({ "inputs": ["a"], "prompt_name": forged }),
        ),
        (
            "/v1/embeddings",
            json!({ "input": "a", "encoding_format": forged }),
        ),
        (
            "/embed",
            json!({ "inputs": "a", "truncate": "b".repeat(100_000) }),
        ),
    ];
    for (route, body) in &cases {
        let answer = ask(&server, route, body)?;
        ensure!(answer.status == 422, "{route}: {answer:?}");
        let text = answer.json()?.to_string();
        ensure!(text.len() < 5000, "{route}: {} bytes", text.len());
    }
    let coding = Request::post(format!("{}/embed", server.http()))
        .header("content-type", "application/json")
        .header("content-encoding", "a\u{9b}b");
    ensure!(send_any(coding.body(b"{}".to_vec())?)?.status == 415);
    let said = server.stop()?;
    ensure!(said.contains("forged: line"), "{said}");
    for line in said.lines() {
        ensure!(!line.starts_with("INFO forged"), "{said}");
        ensure!(!line.contains(['\u{1b}', '\0', '\r', '\u{9b}']), "{line:?}");
        ensure!(line.len() < 2000, "{} bytes: {line}", line.len());
    }
    Ok(())
}
