//! BGE-M3's three kinds of vectors: each route answers with its own, of one pass. The numbers
//! are those of the folder's requests.json.

use crate::client::{Answer, post};
use crate::mcp::Session;
use anyhow::{Context, ensure};
use encoderfile_tests::compare::{self, REFERENCE_TOLERANCE};
use encoderfile_tests::fixture;
use encoderfile_tests::request::Request;
use encoderfile_tests::server::Server;
use encoderfile_tests::workbench::Workbench;
use serde_json::{Map, Value, json};

const MODEL: &str = "hybrid-bge-m3";

fn ask(server: &Server, route: &str, body: &Value) -> anyhow::Result<Answer> {
    post(&format!("{}{route}", server.http()), body)
}

/// The reference's request with these options.
fn reference(options: &Value) -> anyhow::Result<Request> {
    let options: Map<String, Value> = serde_json::from_value(options.clone())?;
    let mut requests = fixture::read(MODEL)?.requests.into_iter();
    let found = requests.find(|request| request.options == options);
    found.with_context(|| format!("no request with {options:?}"))
}

fn texts(request: &Request) -> Vec<&str> {
    request.items.iter().map(|it| it.text.as_str()).collect()
}

/// One field of each result.
fn field(request: &Request, name: &str) -> Value {
    request.results.iter().map(|it| it[name].clone()).collect()
}

fn near(what: &str, got: &Value, expected: &Value) -> anyhow::Result<()> {
    let distance = compare::json(expected, got, REFERENCE_TOLERANCE);
    let distance = distance.with_context(|| format!("{what}: {got}"))?;
    REFERENCE_TOLERANCE
        .check(distance)
        .with_context(|| what.to_owned())
}

#[test]
fn each_route_has_its_own_kind_of_vectors() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    let server = workbench.serve(MODEL, &["--disable-grpc", "--mcp"])?;
    let session = Session::open(&server)?;
    let all = reference(&json!({ "vectors": "all" }))?;
    let inputs = texts(&all);
    let (dense, sparse) = (field(&all, "embedding"), field(&all, "sparse_embedding"));

    let rows = ask(&server, "/embed", &json!({ "inputs": inputs }))?.good()?;
    near("/embed", &rows, &dense)?;
    let answer = ask(
        &server,
        "/v1/embeddings",
        &json!({ "model": "any", "input": &inputs[1..] }),
    )?;
    let data = answer.good()?["data"].clone();
    let rows = data.as_array().into_iter().flatten();
    let rows: Value = rows.map(|it| it["embedding"].clone()).collect();
    near(
        "/v1/embeddings",
        &rows,
        &dense.as_array().context("rows")?[1..].into(),
    )?;
    let rows = ask(&server, "/embed_sparse", &json!({ "inputs": inputs }))?.good()?;
    near("/embed_sparse", &rows, &sparse)?;

    let said = session.call("embed", &json!({ "texts": inputs }))?;
    near(
        "MCP embed",
        &said["structuredContent"]["embeddings"],
        &dense,
    )?;
    let said = session.call("embed_sparse", &json!({ "texts": inputs }))?;
    let results = said["structuredContent"]["results"].as_array();
    let rows = results.into_iter().flatten();
    let rows: Value = rows.map(|it| it["sparse_embedding"].clone()).collect();
    near("MCP embed_sparse", &rows, &sparse)?;
    server.stop()?;
    Ok(())
}

/// All three cost no more tokens than one.
#[test]
fn all_vectors_are_of_one_pass() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    let server = workbench.serve(MODEL, &["--disable-grpc"])?;
    let mut computed = Vec::new();
    for vectors in ["dense", "sparse", "colbert", "all"] {
        let request = reference(&json!({ "vectors": vectors }))?;
        let body = json!({ "inputs": texts(&request), "vectors": vectors });
        let answer = ask(&server, "/predict", &body)?;
        let tokens = answer.header("x-compute-tokens");
        computed.push(tokens.context("no count")?.to_owned());
        let results = &answer.good()?["results"];
        near(vectors, results, &request.results.into())?;
    }
    ensure!(computed.iter().all(|it| *it == computed[0]), "{computed:?}");
    server.stop()?;
    Ok(())
}

#[test]
fn texts_are_ranked_by_all_or_by_one_kind() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    let server = workbench.serve(MODEL, &["--disable-grpc", "--mcp"])?;
    let session = Session::open(&server)?;
    let query = "Who lives in the house in Baker Street?";
    let all = reference(&json!({ "query": query }))?;
    let inputs = texts(&all);
    let expected: Value = all.results.clone().into();
    let body = json!({ "query": query, "texts": inputs });
    near(
        "/rerank",
        &ask(&server, "/rerank", &body)?.good()?,
        &expected,
    )?;
    let said = session.call("rerank", &body)?;
    near(
        "MCP rerank",
        &said["structuredContent"]["results"],
        &expected,
    )?;
    for vectors in ["dense", "sparse", "colbert", "all"] {
        let one = reference(&json!({ "query": query, "vectors": vectors }))?;
        let body = json!({ "query": query, "vectors": vectors, "inputs": inputs });
        let answer = ask(&server, "/predict", &body)?.good()?;
        near(vectors, &answer["results"], &one.results.into())?;
    }
    let body = json!({ "query": "a", "inputs": ["a"], "dimensions": 4 });
    ask(&server, "/predict", &body)?.refused(422, &["`dimensions`"])?;
    server.stop()?;
    Ok(())
}
