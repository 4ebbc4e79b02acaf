//! The same numbers in every dialect, in each one's shape.

use crate::client::{Answer, get, post, send};
use anyhow::{Context, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use encoderfile_tests::server::Server;
use encoderfile_tests::workbench::Workbench;
use serde_json::{Value, json};
use ureq::http::Request;

const TEXTS: [&str; 2] = ["a text", "another text, with more words in it"];

fn ask(server: &Server, route: &str, body: Value) -> anyhow::Result<Value> {
    let answer = post(&format!("{}{route}", server.http()), &body)?;
    answer.good().with_context(|| format!("{route} {body}"))
}

fn rows(value: &Value) -> Vec<Vec<f64>> {
    let row = |row: &Value| -> Vec<f64> {
        let numbers = row.as_array().into_iter().flatten();
        numbers.filter_map(Value::as_f64).collect()
    };
    value.as_array().into_iter().flatten().map(row).collect()
}

#[test]
fn one_embedding_in_every_dialect() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    // Normalised by a module of the folder, and by the graph itself.
    for model in ["st-mean-normalize", "files-pooled-without-modules"] {
        one_embedding(&workbench, model).context(model)?;
    }
    Ok(())
}

fn one_embedding(workbench: &Workbench, model: &str) -> anyhow::Result<()> {
    let server = workbench.serve(model, &["--disable-grpc"])?;
    let embed = ask(&server, "/embed", json!({ "inputs": TEXTS }))?;
    let expected = rows(&embed);
    ensure!(expected.len() == 2 && !expected[0].is_empty());

    let predict = ask(
        &server,
        "/predict",
        json!({ "inputs": TEXTS, "metadata": {"a": 1} }),
    )?;
    ensure!(predict["model_id"] == model && predict["metadata"]["a"] == 1);
    let of = |value: &Value, name: &str| -> Vec<Vec<f64>> {
        let items = value.as_array().into_iter().flatten();
        rows(&items.map(|item| item[name].clone()).collect())
    };
    ensure!(of(&predict["results"], "embedding") == expected);

    let openai = ask(
        &server,
        "/v1/embeddings",
        json!({ "input": TEXTS, "model": "any" }),
    )?;
    ensure!(of(&openai["data"], "embedding") == expected);
    ensure!(openai["usage"]["prompt_tokens"] == openai["usage"]["total_tokens"]);
    let base64 = json!({ "input": TEXTS, "encoding_format": "base64" });
    let base64 = ask(&server, "/v1/embeddings", base64)?;
    let text = base64["data"][1]["embedding"].as_str().context("no text")?;
    let bytes = STANDARD.decode(text)?;
    let floats = bytes
        .chunks_exact(4)
        .map(|it| f32::from_le_bytes([it[0], it[1], it[2], it[3]]));
    let expected_floats: Vec<f32> = serde_json::from_value(embed[1].clone())?;
    ensure!(floats.collect::<Vec<f32>>() == expected_floats);

    let ollama = ask(
        &server,
        "/api/embed",
        json!({ "model": "any", "input": TEXTS }),
    )?;
    ensure!(rows(&ollama["embeddings"]) == expected);
    let hub = ask(&server, "/", json!({ "inputs": TEXTS }))?;
    ensure!(rows(&hub) == expected);

    let similarity = json!({ "source_sentence": TEXTS[0], "sentences": [TEXTS[1], TEXTS[0]] });
    let similarity = ask(&server, "/similarity", json!({ "inputs": similarity }))?;
    let dot: f64 = expected[0]
        .iter()
        .zip(&expected[1])
        .map(|(a, b)| a * b)
        .sum();
    ensure!(
        (similarity[0].as_f64().context("no number")? - dot).abs() < 1e-6,
        "{similarity}"
    );
    ensure!(
        (similarity[1].as_f64().context("no number")? - 1.0).abs() < 1e-6,
        "{similarity}"
    );
    server.stop()?;
    Ok(())
}

#[test]
fn token_ids_give_what_their_text_gives() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    let server = workbench.serve("st-mean-normalize", &["--disable-grpc"])?;
    let tokens = ask(&server, "/tokenize", json!({ "inputs": TEXTS }))?;
    let all = |index: usize, special: bool| -> Vec<Value> {
        let tokens = tokens[index].as_array().into_iter().flatten();
        let kept = tokens.filter(|token| special || token["special"] == false);
        kept.map(|token| token["id"].clone()).collect()
    };
    let bare = ask(
        &server,
        "/tokenize",
        json!({ "inputs": TEXTS[0], "add_special_tokens": false }),
    )?;
    ensure!(bare[0].as_array().map(Vec::len) == Some(all(0, false).len()));
    let expected = ask(&server, "/embed", json!({ "inputs": TEXTS }))?;
    for special in [true, false] {
        let ids = json!([all(0, special), all(1, special)]);
        let got = ask(&server, "/embed", json!({ "inputs": ids }))?;
        ensure!(got == expected, "special tokens sent: {special}");
        let one = ask(
            &server,
            "/v1/embeddings",
            json!({ "input": all(0, special) }),
        )?;
        ensure!(one["data"][0]["embedding"] == expected[0]);
    }
    let decoded = ask(&server, "/decode", json!({ "ids": all(1, true) }))?;
    ensure!(
        decoded[0] == "another text, with more words in it",
        "{decoded}"
    );
    let unknown = json!({ "input": [1_000_000_000] });
    let unknown = post(&format!("{}/v1/embeddings", server.http()), &unknown)?;
    unknown.refused(422, &["1000000000", "vocabulary", "invalid_request_error"])?;
    server.stop()?;
    Ok(())
}

#[test]
fn token_vectors_are_those_of_infer() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    let program = workbench.built("st-mean-normalize", &[])?;
    let server = Server::start(&program, &["--disable-grpc"])?;
    let all = ask(&server, "/embed_all", json!({ "inputs": TEXTS[0] }))?;
    let infer = workbench.finish(
        &program,
        &["infer", "--unpooled", "--special-tokens", TEXTS[0]],
    )?;
    let infer = infer.succeeded()?.json()?;
    let tokens = infer["results"][0]["embeddings"]
        .as_array()
        .context("no tokens")?;
    let expected: Vec<&Value> = tokens.iter().map(|token| &token["embedding"]).collect();
    ensure!(all[0] == json!(expected));
    server.stop()?;
    Ok(())
}

#[test]
fn reranking_in_three_dialects() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    let server = workbench.serve("ce-modules", &["--disable-grpc"])?;
    let (query, texts) = ("what is it?", ["a cat", "the second text", "12 o'clock"]);
    let tei = json!({ "query": query, "texts": texts, "return_text": true });
    let tei = ask(&server, "/rerank", tei)?;
    let ranks = tei.as_array().context("no list")?;
    ensure!(ranks.len() == 3);
    for pair in ranks.windows(2) {
        ensure!(
            pair[0]["score"].as_f64() >= pair[1]["score"].as_f64(),
            "{tei}"
        );
    }
    let body = json!({ "model": "any", "query": query, "documents": texts, "top_n": 2 });
    let cohere = ask(&server, "/v2/rerank", body.clone())?;
    let jina = ask(&server, "/v1/rerank", body)?;
    for place in 0..2 {
        let expected = &ranks[place];
        let text = &texts[usize::try_from(expected["index"].as_u64().context("no index")?)?];
        ensure!(expected["text"] == *text);
        for results in [&cohere["results"], &jina["results"]] {
            ensure!(results.as_array().map(Vec::len) == Some(2), "{results}");
            ensure!(results[place]["index"] == expected["index"]);
            ensure!(results[place]["relevance_score"] == expected["score"]);
        }
        ensure!(jina["results"][place]["document"]["text"] == *text);
    }
    let predict = json!({ "inputs": texts, "query": query });
    let predict = ask(&server, "/predict", predict)?;
    ensure!(predict["results"][0]["score"] == ranks[0]["score"]);
    server.stop()?;
    Ok(())
}

#[test]
fn teis_forms_of_predict() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    let server = workbench.serve("cls-pair-nli", &["--disable-grpc"])?;
    let pair = json!({ "text": "a", "text_pair": "b" });
    let ours = ask(&server, "/predict", json!({ "inputs": ["a", pair] }))?;
    let scores = |result: &Value| -> Vec<f64> {
        let mut scores = rows(&json!([result["scores"]])).remove(0);
        scores.sort_by(|a, b| b.total_cmp(a));
        scores
    };
    let of = |classes: &Value| -> Vec<f64> {
        let classes = classes.as_array().into_iter().flatten();
        classes
            .filter_map(|class| class["score"].as_f64())
            .collect()
    };
    let (alone, both) = (scores(&ours["results"][0]), scores(&ours["results"][1]));
    ensure!(alone.len() == 3 && alone != both);
    ensure!(of(&ask(&server, "/predict", json!({ "inputs": "a" }))?) == alone);
    let one_pair = json!({ "inputs": ["a", "b"], "truncate": true });
    ensure!(of(&ask(&server, "/predict", one_pair)?) == both);
    let batch = ask(
        &server,
        "/predict",
        json!({ "inputs": [["a"], ["a", "b"]] }),
    )?;
    ensure!(of(&batch[0]) == alone && of(&batch[1]) == both);
    // Upstream: two texts.
    let two = ask(&server, "/predict", json!({ "inputs": ["a", "b"] }))?;
    ensure!(two["results"].as_array().map(Vec::len) == Some(2));
    ensure!(scores(&two["results"][0]) == alone);
    server.stop()?;
    Ok(())
}

#[test]
fn answers_say_what_they_took_and_what_was_cut() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    let server = workbench.serve("st-mean-normalize", &["--disable-grpc"])?;
    let info = get(&format!("{}/info", server.http()))?.good()?;
    let long = "word ".repeat(3000);
    let url = format!("{}/embed", server.http());
    let answer = post(&url, &json!({ "inputs": ["short", long] }))?;
    ensure!(answer.header("x-embedding-space-id") == info["embedding_space_id"].as_str());
    ensure!(answer.header("x-compute-type") == Some("cpu"));
    ensure!(answer.header("x-compute-characters") == Some("15005"));
    ensure!(answer.header("x-truncated-count") == Some("1"));
    let cut = answer.header("x-truncated-inputs").context("no header")?;
    let used = &info["max_input_length"];
    ensure!(
        cut.starts_with("1;total=") && cut.ends_with(&format!(";used={used}")),
        "{cut}"
    );
    for name in [
        "compute-time",
        "compute-tokens",
        "total-time",
        "queue-time",
        "inference-time",
    ] {
        let value = answer.header(&format!("x-{name}")).context(name)?;
        value.parse::<u64>().context(name)?;
    }
    let result = ask(&server, "/predict", json!({ "inputs": [long] }))?;
    ensure!(result["results"][0]["tokens_used"] == *used, "{result}");
    let refused = post(&url, &json!({ "inputs": long, "truncate": false }))?;
    refused.refused(422, &["tokens, the model takes", "Validation"])?;
    let ollama = json!({ "input": long, "truncate": false });
    let refused = post(&format!("{}/api/embed", server.http()), &ollama)?;
    let words = [
        r#"{"error":"#,
        "the input length exceeds the context length",
    ];
    refused.refused(400, &words)?;
    server.stop()?;
    Ok(())
}

#[test]
fn a_text_that_fails_can_fail_alone() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    let server = workbench.serve("st-mean-normalize", &["--disable-grpc"])?;
    let texts = json!(["good", "word ".repeat(3000), "also good"]);
    let url = format!("{}/predict", server.http());
    let whole = post(&url, &json!({ "inputs": texts, "long": "error" }))?;
    whole.refused(422, &["text 2: ", "tokens, the model takes"])?;
    let partial = json!({ "inputs": texts, "long": "error", "partial": true });
    let partial = post(&url, &partial)?.good()?;
    let results = &partial["results"];
    ensure!(results[0]["embedding"].is_array() && results[2]["embedding"].is_array());
    let error = results[1]["error"].as_str().context("no error")?;
    ensure!(error.contains("the model takes"), "{error}");
    server.stop()?;
    Ok(())
}

#[test]
fn what_the_model_cannot_do_is_said_with_its_task() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    let server = workbench.serve("bert-token_classification", &["--disable-grpc"])?;
    let cases = [
        ("/embed", json!({ "inputs": "a" })),
        ("/embed_all", json!({ "inputs": "a" })),
        ("/embed_sparse", json!({ "inputs": "a" })),
        ("/rerank", json!({ "query": "a", "texts": ["b"] })),
        ("/predict", json!({ "inputs": "a" })),
        ("/v1/embeddings", json!({ "input": "a" })),
        ("/v1/rerank", json!({ "query": "a", "documents": ["b"] })),
        ("/v2/rerank", json!({ "query": "a", "documents": ["b"] })),
        ("/api/embed", json!({ "input": "a" })),
        ("/api/embeddings", json!({ "prompt": "a" })),
    ];
    for (route, body) in cases {
        let answer = post(&format!("{}{route}", server.http()), &body)?;
        let refused = answer.refused(422, &["token_classification"]);
        refused.with_context(|| route.to_owned())?;
    }
    server.stop()?;
    Ok(())
}

#[test]
fn each_dialect_has_its_own_error_body() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    let server = workbench.serve("st-mean-normalize", &["--disable-grpc"])?;
    let broken = |route: &str| -> anyhow::Result<Answer> {
        let request = Request::post(format!("{}{route}", server.http()));
        let request = request.header("content-type", "application/json");
        send(request.body("{\"inputs\": ".into())?)
    };
    broken("/embed")?.refused(400, &[r#""error":"#, r#""error_type":"Validation""#])?;
    broken("/predict")?.refused(400, &[r#""error_type":"#])?;
    broken("/v1/embeddings")?.refused(400, &[r#"{"error":{"message":"#, r#""type":"#])?;
    broken("/api/embed")?.refused(400, &[r#"{"error":""#])?;
    broken("/v2/rerank")?.refused(400, &[r#"{"message":"#])?;
    broken("/v1/rerank")?.refused(400, &[r#"{"detail":"#])?;
    let url = |route: &str| format!("{}{route}", server.http());
    get(&url("/nowhere"))?.refused(404, &["openapi.json"])?;
    get(&url("/embed"))?.refused(405, &["error_type"])?;
    let plain = Request::post(url("/embed")).header("content-type", "text/plain");
    send(plain.body("{}".into())?)?.refused(415, &["application/json"])?;
    post(&url("/embed"), &json!({ "inputs": [] }))?.refused(400, &["Empty"])?;
    let wrong = post(&url("/embed"), &json!({ "inputs": { "a": 1 } }))?;
    wrong.refused(422, &["inputs", "a text, a list of texts"])?;
    let unknown = post(
        &url("/predict"),
        &json!({ "inputs": ["a"], "nromalize": true }),
    )?;
    unknown.refused(422, &["nromalize"])?;
    server.stop()?;
    Ok(())
}

#[test]
fn widths_are_those_of_the_answers() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    for (model, width) in [("st-matryoshka", 8), ("st-mean-normalize", 32)] {
        let server = workbench.serve(model, &["--disable-grpc"])?;
        let embedded = ask(&server, "/embed", json!({ "inputs": "a" }))?;
        ensure!(embedded[0].as_array().map(Vec::len) == Some(width));
        let info = get(&format!("{}/info", server.http()))?.good()?;
        ensure!(info["encoderfile"]["width"] == width, "{info}");
        let shown = ask(&server, "/api/show", json!({ "model": "any" }))?;
        let architecture = &shown["model_info"]["general.architecture"];
        ensure!(architecture == "bert", "{shown}");
        ensure!(shown["details"]["family"] == "bert", "{shown}");
        ensure!(
            shown["model_info"]["bert.embedding_length"] == width,
            "{shown}"
        );
        server.stop()?;
    }
    Ok(())
}
