//! Late interaction in every dialect: vectors of queries and of documents, and scores for
//! which the query is computed once. The numbers are those of the folder's golden.json.

use crate::client::{Answer, post};
use crate::mcp::Session;
use anyhow::{Context, ensure};
use encoderfile_tests::fixture;
use encoderfile_tests::request::Request;
use encoderfile_tests::server::Server;
use encoderfile_tests::workbench::Workbench;
use serde_json::{Value, json};

const MODEL: &str = "late-bert";

fn ask(server: &Server, route: &str, body: &Value) -> anyhow::Result<Answer> {
    post(&format!("{}{route}", server.http()), body)
}

/// Whether two JSON values are the same but for rounding.
fn near(got: &Value, expected: &Value) -> bool {
    match (got, expected) {
        (Value::Array(got), Value::Array(expected)) => {
            let mut pairs = got.iter().zip(expected);
            got.len() == expected.len() && pairs.all(|(got, expected)| near(got, expected))
        }
        _ => match (got.as_f64(), expected.as_f64()) {
            (Some(got), Some(expected)) => (got - expected).abs() < 1e-4,
            _ => false,
        },
    }
}

/// Texts of a role and the vectors of each.
fn vectors(request: &Request) -> (Vec<&str>, Value) {
    let texts = request.items.iter().map(|item| item.text.as_str());
    let rows = request.results.iter().map(|result| {
        let rows = result["embeddings"].as_array().into_iter().flatten();
        rows.map(|row| row["embedding"].clone()).collect::<Value>()
    });
    (texts.collect(), rows.collect())
}

/// What the reference says of both roles, and of the texts that one query ranks.
struct Reference {
    requests: Vec<Request>,
}

impl Reference {
    fn of(model: &str) -> anyhow::Result<Self> {
        let requests = fixture::read(model)?.requests;
        Ok(Self { requests })
    }

    fn role(&self, role: &str) -> anyhow::Result<(Vec<&str>, Value)> {
        let mut requests = self.requests.iter();
        let is_plain =
            |it: &&Request| it.options.len() == 1 && it.options.get("role") == Some(&role.into());
        requests.find(is_plain).map(vectors).context("no such role")
    }

    fn ranking(&self) -> anyhow::Result<Ranking<'_>> {
        let mut requests = self.requests.iter();
        let ranking = requests.find_map(|it| Some((it.options.get("query")?.as_str()?, it)));
        let (query, request) = ranking.context("no ranking")?;
        let ranks = request
            .results
            .iter()
            .map(|it| Some((it["index"].as_u64()?, it["score"].as_f64()?)));
        let ranks: Option<_> = ranks.collect();
        Ok(Ranking {
            query,
            texts: vectors(request).0,
            ranks: ranks.context("no ranks")?,
        })
    }
}

/// What a query makes of texts.
struct Ranking<'a> {
    query: &'a str,
    texts: Vec<&'a str>,
    /// The texts' places and scores, best first.
    ranks: Vec<(u64, f64)>,
}

/// Whether an answer's list has these ranks.
fn has_ranks(list: &Value, score: &str, expected: &[(u64, f64)]) -> bool {
    let list = list.as_array().map_or(&[][..], Vec::as_slice);
    let mut pairs = list.iter().zip(expected);
    list.len() == expected.len()
        && pairs.all(|(got, (index, of))| got["index"] == *index && near(&got[score], &json!(of)))
}

#[test]
fn vectors_are_of_the_role_that_is_asked_for() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    let server = workbench.serve(MODEL, &["--disable-grpc", "--mcp"])?;
    let session = Session::open(&server)?;
    let reference = Reference::of(MODEL)?;
    for role in ["query", "document"] {
        let (texts, expected) = reference.role(role)?;
        let body = json!({ "inputs": texts, "prompt_name": role });
        let rows = ask(&server, "/embed_all", &body)?.good()?;
        ensure!(near(&rows, &expected), "/embed_all {role}: {rows}");
        let body = json!({ "inputs": texts, "parameters": { "prompt_name": role } });
        let rows = ask(&server, "/", &body)?.good()?;
        ensure!(near(&rows, &expected), "/ {role}: {rows}");
        let said = session.call("embed_tokens", &json!({ "texts": texts, "role": role }))?;
        let results = said["structuredContent"]["results"]
            .as_array()
            .context("no results")?;
        let rows = results.iter().map(|result| {
            let rows = result["embeddings"].as_array().into_iter().flatten();
            rows.map(|row| row["embedding"].clone()).collect::<Value>()
        });
        ensure!(near(&rows.collect(), &expected), "MCP {role}: {said}");
    }
    let (texts, expected) = reference.role("document")?;
    let rows = ask(&server, "/embed_all", &json!({ "inputs": texts }))?.good()?;
    ensure!(near(&rows, &expected), "/embed_all: {rows}");
    ask(
        &server,
        "/embed_all",
        &json!({ "inputs": texts, "prompt_name": "other" }),
    )?
    .refused(422, &["`other`"])?;
    server.stop()?;
    Ok(())
}

#[test]
fn token_ids_have_vectors_too() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    let server = workbench.serve(MODEL, &["--disable-grpc"])?;
    let text = "the house in baker street";
    let ids = ask(
        &server,
        "/tokenize",
        &json!({ "inputs": text, "add_special_tokens": false }),
    )?
    .good()?;
    let ids = ids[0]
        .as_array()
        .context("no tokens")?
        .iter()
        .map(|token| token["id"].clone());
    let ids: Vec<Value> = ids.collect();
    let of_text = ask(&server, "/embed_all", &json!({ "inputs": [text] }))?.good()?;
    let of_ids = ask(&server, "/embed_all", &json!({ "inputs": [ids] }))?.good()?;
    ensure!(near(&of_ids, &of_text), "{of_ids}");
    server.stop()?;
    Ok(())
}

#[test]
fn texts_are_ranked_in_every_dialect() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    let server = workbench.serve(MODEL, &["--disable-grpc", "--mcp"])?;
    let session = Session::open(&server)?;
    let reference = Reference::of(MODEL)?;
    let Ranking {
        query,
        texts,
        ranks: expected,
    } = reference.ranking()?;
    for raw_scores in [false, true] {
        let body = json!({ "query": query, "texts": texts, "raw_scores": raw_scores });
        let ranks = ask(&server, "/rerank", &body)?.good()?;
        ensure!(has_ranks(&ranks, "score", &expected), "/rerank: {ranks}");
    }
    for route in ["/v2/rerank", "/v1/rerank"] {
        let body = json!({ "model": "any", "query": query, "documents": texts });
        let ranks = ask(&server, route, &body)?.good()?;
        let is_same = has_ranks(&ranks["results"], "relevance_score", &expected);
        ensure!(is_same, "{route}: {ranks}");
    }
    let said = session.call("rerank", &json!({ "query": query, "texts": texts }))?;
    let ranks = &said["structuredContent"]["results"];
    ensure!(has_ranks(ranks, "score", &expected), "MCP: {said}");
    server.stop()?;
    Ok(())
}

/// The query's tokens are in the count of a request once, however many texts it ranks.
#[test]
fn a_query_is_computed_once() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    let server = workbench.serve(MODEL, &["--disable-grpc"])?;
    let reference = Reference::of(MODEL)?;
    let Ranking { query, texts, .. } = reference.ranking()?;
    let computed = |route: &str, body: Value| {
        let answer = ask(&server, route, &body)?;
        let tokens = answer
            .header("x-compute-tokens")
            .with_context(|| format!("{answer:?}"))?;
        Ok::<_, anyhow::Error>(tokens.parse::<usize>()?)
    };
    let documents = computed("/embed_all", json!({ "inputs": texts }))?;
    let of_query = computed(
        "/embed_all",
        json!({ "inputs": [query], "prompt_name": "query" }),
    )?;
    ensure!(of_query == 32 && texts.len() > 4);
    let together = computed("/rerank", json!({ "query": query, "texts": texts }))?;
    ensure!(
        together == documents + of_query,
        "{together}: {documents} and {of_query}"
    );
    server.stop()?;
    Ok(())
}

#[test]
fn what_is_wrong_with_a_query_is_no_fault_of_a_text() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    let server = workbench.serve(MODEL, &["--disable-grpc"])?;
    let long = "word ".repeat(40);
    let body = json!({ "query": long, "inputs": ["a", "b"], "overflow": "error" });
    ask(&server, "/predict", &body)?.refused(422, &["the query: the text has", "takes 32"])?;
    let body = json!({ "query": "a", "inputs": ["a", "word ".repeat(400)], "overflow": "error" });
    ask(&server, "/predict", &body)?.refused(422, &["text 2: the text has"])?;
    let body = json!({ "query": "a", "role": "query", "inputs": ["a"] });
    ask(&server, "/predict", &body)?.refused(422, &["give one of `query` and `role`"])?;
    let pair = json!({ "text": "a", "text_pair": "b" });
    ask(&server, "/predict", &json!({ "inputs": [pair] }))?.refused(422, &["`text_pair`"])?;
    server.stop()?;
    Ok(())
}
