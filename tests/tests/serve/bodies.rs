//! Requests as clients write them: `null` for what they leave out, halves of
//! surrogate pairs, bodies that are compressed. Which requests there are is taken
//! from `/openapi.json`, so that no route or field can be forgotten here.

use crate::client::{Answer, get, post, send, send_any};
use anyhow::{Context, ensure};
use encoderfile_tests::programs;
use encoderfile_tests::server::Server;
use encoderfile_tests::workbench::Workbench;
use serde_json::{Value, json};
use std::fs;
use ureq::http::Request;

/// One for each task, and for what else a head can do.
const MODELS: [&str; 8] = [
    "st-mean-normalize",
    "bert-embedding",
    "splade-max",
    "ce-modules",
    "cls-multi-label",
    "cls-pair-nli",
    "bert-token_classification",
    "bert-fill_mask",
];

/// Fields of a model's dialects, of which most are in each of several routes.
const FIELDS_MIN: usize = 90;

/// What the document has no schema for: Hugging Face's parameters go by the task.
const PARAMETERS: [&str; 16] = [
    "aggregation_strategy",
    "candidate_labels",
    "dimensions",
    "encoding_format",
    "function_to_apply",
    "hypothesis_template",
    "ignore_labels",
    "multi_label",
    "normalize",
    "options",
    "prompt_name",
    "stride",
    "targets",
    "top_k",
    "truncate",
    "truncation_direction",
];

/// Differs from answer to answer.
const PASSING: [&str; 3] = ["id", "load_duration", "total_duration"];

/// A server and what it says it takes.
struct Served {
    server: Server,
    document: Value,
    /// What stands for a text in requests.
    text: String,
}

impl Served {
    fn start(workbench: &Workbench, model: &str) -> anyhow::Result<Self> {
        let server = workbench.serve(model, &["--disable-grpc"])?;
        let document = get(&format!("{}/openapi.json", server.http()))?.good()?;
        let info = get(&format!("{}/info", server.http()))?.good()?;
        let mask = info["encoderfile"]["mask_token"].as_str();
        Ok(Self {
            text: mask.map_or("a text".into(), |mask| format!("a {mask}")),
            server,
            document,
        })
    }

    /// The routes that take JSON, and the schema of it.
    fn routes(&self) -> anyhow::Result<Vec<(&str, &Value)>> {
        let paths = self.document["paths"].as_object().context("no paths")?;
        let routes = paths.iter().filter_map(|(path, item)| {
            let content = &item["post"]["requestBody"]["content"];
            let schema = content["application/json"].get("schema")?;
            Some((path.as_str(), schema))
        });
        let routes: Vec<_> = routes.collect();
        ensure!(routes.len() > 10, "{routes:?}");
        Ok(routes)
    }

    fn post(&self, path: &str, body: &Value) -> anyhow::Result<Answer> {
        post(&format!("{}{path}", self.server.http()), body)
    }

    fn definition<'a>(&'a self, schema: &'a Value) -> &'a Value {
        match schema["$ref"].as_str() {
            Some(name) => {
                let pointer = name.trim_start_matches('#');
                self.document.pointer(pointer).unwrap_or(schema)
            }
            None => schema,
        }
    }

    /// The least that fits a schema.
    fn sample(&self, schema: &Value) -> Value {
        let schema = self.definition(schema);
        if let Some(forms) = forms(schema) {
            return forms.first().map_or(Value::Null, |it| self.sample(it));
        }
        if let Some(values) = schema["enum"].as_array() {
            return values[0].clone();
        }
        match kind(schema) {
            "integer" => json!(1),
            "number" => json!(0.5),
            "boolean" => json!(false),
            "array" => json!([self.sample(&schema["items"])]),
            "object" => {
                let required = schema["required"].as_array();
                let names = required.into_iter().flatten().filter_map(Value::as_str);
                let members =
                    names.map(|name| (name.into(), self.sample(&schema["properties"][name])));
                Value::Object(members.collect())
            }
            _ => json!(self.text),
        }
    }

    /// For each field that may be absent, at any depth: its name, a request in which
    /// it is `null`, and the same request without it.
    fn nulls(&self, schema: &Value) -> Vec<(String, Value, Value)> {
        let schema = self.definition(schema);
        if let Some(forms) = forms(schema) {
            return forms.iter().flat_map(|it| self.nulls(it)).collect();
        }
        if kind(schema) == "array" {
            let items = self.nulls(&schema["items"]).into_iter();
            let in_list = items.map(|(name, null, absent)| (name, vec![null], vec![absent]));
            let in_list = in_list.map(|(name, null, absent)| (name, null.into(), absent.into()));
            return in_list.collect();
        }
        let base = self.sample(schema);
        let mut found = Vec::new();
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            let with = |value: Value| {
                let mut whole = base.clone();
                whole[name] = value;
                whole
            };
            if base.get(name).is_none() {
                found.push((name.clone(), with(Value::Null), base.clone()));
            }
            let inner = self.nulls(property).into_iter();
            found.extend(inner.map(|(inner, null, absent)| {
                (format!("{name}.{inner}"), with(null), with(absent))
            }));
        }
        found
    }
}

/// What a schema allows one of, without `null`.
fn forms(schema: &Value) -> Option<Vec<&Value>> {
    let forms = schema["anyOf"].as_array()?;
    Some(forms.iter().filter(|it| it["type"] != "null").collect())
}

fn kind(schema: &Value) -> &str {
    match &schema["type"] {
        Value::Array(types) => {
            let mut types = types.iter().filter_map(Value::as_str);
            types.find(|it| *it != "null").unwrap_or("")
        }
        other => other.as_str().unwrap_or(""),
    }
}

/// An answer without what is never the same.
fn lasting(answer: &Answer) -> anyhow::Result<(u16, Value)> {
    let mut body = answer.json()?;
    if let Some(members) = body.as_object_mut() {
        members.retain(|name, _| !PASSING.contains(&name.as_str()));
    }
    Ok((answer.status, body))
}

#[test]
fn null_is_as_if_absent() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    for model in MODELS {
        let served = Served::start(&workbench, model)?;
        let (mut fields, mut good) = (0, 0);
        let mut compare = |path: &str, name: &str, null: &Value, absent: &Value| {
            let expected = lasting(&served.post(path, absent)?)?;
            let got = lasting(&served.post(path, null)?)?;
            ensure!(
                got == expected,
                "{model}: {path}, `{name}`: {null} gives {got:?}, and {absent} {expected:?}"
            );
            fields += 1;
            good += usize::from(got.0 == 200);
            Ok(())
        };
        for (path, schema) in served.routes()? {
            for (name, null, absent) in served.nulls(schema) {
                compare(path, &name, &null, &absent)?;
            }
        }
        for name in PARAMETERS {
            let absent = json!({ "inputs": served.text });
            let mut beside = absent.clone();
            beside[name] = Value::Null;
            compare("/", name, &beside, &absent)?;
            let mut inside = absent.clone();
            inside["parameters"] = json!({ name: null });
            compare("/", name, &inside, &absent)?;
        }
        ensure!(fields >= FIELDS_MIN, "{model}: only {fields} fields");
        ensure!(good >= PARAMETERS.len(), "{model}: only {good} were good");
        println!("{model}: {fields} fields, {good} of them in requests that it serves");
        served.server.stop()?;
    }
    Ok(())
}

#[test]
fn null_where_something_is_needed_or_kept() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    let served = Served::start(&workbench, "st-mean-normalize")?;
    for (path, name) in [
        ("/embed", "inputs"),
        ("/predict", "inputs"),
        ("/v1/embeddings", "input"),
        ("/api/embed", "input"),
        ("/", "inputs"),
    ] {
        let answer = served.post(path, &json!({ name: null, "model": "x" }))?;
        // Ollama's clients load a model by asking for nothing.
        if path == "/api/embed" {
            let absent = served.post(path, &json!({ "model": "x" }))?.good()?;
            ensure!(answer.good()?["embeddings"] == absent["embeddings"]);
        } else {
            answer.refused(422, &[name])?;
        }
        let answer = served.post(path, &json!({ name: ["a", null] }))?;
        ensure!(answer.status == 422, "{path}: {answer:?}");
    }
    // Nobody's but the caller's.
    let metadata = json!({ "a": null, "b": [null, { "c": null }], "d": {} });
    let request = json!({ "inputs": ["a"], "metadata": metadata, "normalize": null });
    let answer = served.post("/predict", &request)?.good()?;
    ensure!(answer["metadata"] == metadata, "{answer}");
    // Which API's request it is does not go by fields that are absent.
    let two = json!({ "inputs": ["a", "b"], "truncate": null, "raw_scores": null });
    let answer = served.post("/predict", &two)?.good()?;
    ensure!(
        answer["results"].as_array().map(Vec::len) == Some(2),
        "{answer}"
    );
    served.server.stop()?;
    Ok(())
}

#[test]
fn half_a_surrogate_pair_is_the_replacement_character() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    // What clients write, and what has to be read.
    let spellings = [
        (r"\ud800", r"\ufffd"),
        (r"\uDFFF", "\u{fffd}"),
        (r"\ud83d\ude00", "\u{1f600}"),
        (r"\ud83d\ud83d\ude00", "\u{fffd}\u{1f600}"),
        (r"\\ud800", r"\u005cud800"),
    ];
    for model in MODELS {
        let served = Served::start(&workbench, model)?;
        let mut good = 0;
        for (path, schema) in served.routes()? {
            let sample = served.sample(schema).to_string();
            for (written, read) in spellings {
                let answer = |spelling: &str| {
                    let body = sample.replace("\"a ", &format!("\"a {spelling}"));
                    let request = Request::post(format!("{}{path}", served.server.http()))
                        .header("content-type", "application/json");
                    lasting(&send(request.body(body)?)?)
                };
                let (got, expected) = (answer(written)?, answer(read)?);
                ensure!(
                    got == expected,
                    "{model}: {path}: {written} gives {got:?}, {read} {expected:?}"
                );
                good += usize::from(got.0 == 200);
            }
        }
        ensure!(good >= spellings.len(), "{model}: only {good} were good");
        served.server.stop()?;
    }
    Ok(())
}

/// A request with a body that was compressed somehow.
fn compressed(served: &Served, path: &str, coding: &str, body: &[u8]) -> anyhow::Result<Answer> {
    let request = Request::post(format!("{}{path}", served.server.http()))
        .header("content-type", "application/json")
        .header("accept", "application/json, text/event-stream")
        .header("content-encoding", coding);
    send_any(request.body(body.to_vec())?)
}

/// A file that a reference implementation compressed.
fn sample(name: &str) -> anyhow::Result<Vec<u8>> {
    let folder = programs::root().join("server/src/http/coding/samples");
    let path = folder.join(name);
    fs::read(&path).with_context(|| path.display().to_string())
}

#[test]
fn compressed_bodies_are_read() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    let served = Served::start(&workbench, "st-mean-normalize")?;
    let plain: Value = serde_json::from_slice(&sample("body.json")?)?;
    for path in ["/embed", "/predict", "/tokenize", "/"] {
        let expected = served.post(path, &plain)?.good()?;
        for (coding, name) in [
            ("gzip", "body.gz"),
            ("X-GZIP", "two-members.gz"),
            ("deflate", "body.zlib"),
            ("deflate", "body.deflate"),
            ("br", "body.br"),
            ("zstd", "body.zst"),
            ("identity, ZStd", "frames.zst"),
            ("identity", "body.json"),
        ] {
            let got = compressed(&served, path, coding, &sample(name)?)?.good()?;
            ensure!(got == expected, "{path}, {coding}: {got} and {expected}");
        }
    }
    served.server.stop()?;
    Ok(())
}

/// What a dialect's error says.
fn message(path: &str, body: &Value) -> Option<String> {
    let text = match path {
        "/v1/rerank" => &body["detail"],
        "/v1/embed" | "/v2/embed" | "/v2/rerank" => &body["message"],
        "/mcp" => &body["error"]["message"],
        _ if path.starts_with("/v1/") => &body["error"]["message"],
        _ => &body["error"],
    };
    // Some of TEI's routes have OpenAI's errors.
    let text = text.get("message").unwrap_or(text);
    text.as_str().map(str::to_owned)
}

#[test]
fn compressed_bodies_are_refused_as_each_dialect_says_it() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    let arguments = ["--disable-grpc", "--mcp", "--payload-limit", "1000000"];
    let server = workbench.serve("st-mean-normalize", &arguments)?;
    let document = get(&format!("{}/openapi.json", server.http()))?.good()?;
    let served = Served {
        server,
        document,
        text: String::new(),
    };
    let cut = &sample("body.gz")?[..100];
    let cases = [
        ("compress", &sample("body.gz")?[..], 415, "compress"),
        ("gzip, zip", b"{}", 415, "zip"),
        ("gzip", cut, 400, "gzip"),
        ("br", b"{\"inputs\": \"a\"}", 400, "brotli"),
        ("zstd", &sample("body.gz")?, 400, "zstd"),
        ("gzip", &sample("much.gz")?, 413, "1000000 bytes"),
        ("gzip, gzip", &sample("much.gz.gz")?, 413, "1000000 bytes"),
        ("deflate", &sample("much.zlib")?, 413, "1000000 bytes"),
        ("br", &sample("much.br")?, 413, "1000000 bytes"),
        ("zstd", &sample("much.zst")?, 413, "1000000 bytes"),
    ];
    let mut paths: Vec<&str> = served.routes()?.into_iter().map(|it| it.0).collect();
    paths.push("/mcp");
    for path in paths {
        for (coding, body, status, words) in &cases {
            let answer = compressed(&served, path, coding, body)?;
            answer.refused(*status, &[])?;
            let said = message(path, &answer.json()?);
            ensure!(
                said.is_some_and(|it| it.contains(words)),
                "{path}, {coding}: {answer:?}"
            );
            let accepted = answer.header("accept-encoding");
            ensure!((accepted == Some("gzip, deflate, br, zstd")) == (*status == 415));
        }
    }
    served.server.stop()?;
    Ok(())
}

/// A message to `/mcp`, in a session if there is one.
pub(crate) fn message_to_mcp(
    server: &Server,
    session: Option<&str>,
    body: &str,
) -> anyhow::Result<Answer> {
    let mut request = Request::post(format!("{}/mcp", server.http()))
        .header("content-type", "application/json")
        .header("accept", "application/json, text/event-stream");
    if let Some(session) = session {
        request = request.header("mcp-session-id", session);
    }
    send(request.body(body.to_owned())?)
}

#[test]
fn messages_of_mcp_as_clients_write_them() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    let server = workbench.serve("st-mean-normalize", &["--disable-grpc", "--mcp"])?;
    let hello = r#"{"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {"protocolVersion":
        "2025-06-18", "capabilities": {"roots": null}, "clientInfo": {"name": "\ud800", "version": "1",
        "title": null}, "_meta": null}}"#;
    let answer = message_to_mcp(&server, None, hello)?;
    ensure!(answer.status == 200, "{answer:?}");
    let session = answer.header("mcp-session-id").map(str::to_owned);
    let session = session.as_deref();
    ensure!(session.is_some(), "{answer:?}");
    for (body, status, words) in [
        (
            r#"{"jsonrpc": "2.0", "method": "notifications/initialized", "params": null}"#,
            202,
            "",
        ),
        (
            r#"{"jsonrpc": "2.0", "id": 2, "method": "tools/list", "params": null}"#,
            200,
            "run_encoder",
        ),
        (
            r#"{"jsonrpc": "2.0", "id": 3, "method": "tools/list", "params": {"cursor": null, "_meta": null}}"#,
            200,
            "run_encoder",
        ),
        (
            r#"{"jsonrpc": "2.0", "id": 4, "method": "tools/call", "params": {"name": "run_encoder",
            "arguments": {"inputs": ["\udfff"], "metadata": {"a": null}}, "_meta": {"progressToken": null}}}"#,
            200,
            r#""metadata":{"a":null}"#,
        ),
        (
            r#"{"jsonrpc": "2.0", "id": 5, "method": "tools/call", "params": {"name": "embed", "arguments": null}}"#,
            200,
            "missing field `texts`",
        ),
        (r#"{"jsonrpc": "2.0", "id": 6,"#, 400, "-32700"),
        (
            r#"{"jsonrpc": "2.0", "id": 7, "params": null,}"#,
            400,
            "-32700",
        ),
        ("[1]", 422, "-32600"),
    ] {
        message_to_mcp(&server, session, body)?.refused(status, &[words])?;
    }
    server.stop()?;
    Ok(())
}
