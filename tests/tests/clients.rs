//! Other people's clients, and a browser, against a built model's server: one
//! test for each script and model. The scripts and what they check are in
//! `clients/` and `browser/`.
#![cfg(unix)]

use Access::{Open, WithKey};
use Script::{Framework, Node, Page, Python};
use anyhow::{Context, ensure};
use encoderfile_tests::fixture;
use encoderfile_tests::process;
use encoderfile_tests::programs::{self, Program};
use encoderfile_tests::server::Server;
use encoderfile_tests::workbench::Workbench;
use std::process::Command;

/// The key of servers that have one.
const KEY: &str = "a-key-of-the-tests";

/// Whether the server asks for a key.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Access {
    Open,
    WithKey,
}

/// A script that drives a server.
#[derive(Clone, Copy)]
enum Script {
    Python(&'static str),
    /// Python too, with other packages.
    Framework(&'static str),
    Node(&'static str),
    /// Node, which drives Chromium.
    Page(&'static str),
}

impl Script {
    /// The command that runs it; `None` where a program or package is missing.
    fn command(self) -> anyhow::Result<Option<Command>> {
        let (program, folder, name) = match self {
            Python(name) => (Program::Python, "clients", name),
            Framework(name) => (Program::Frameworks, "clients", name),
            Node(name) => (Program::Node, "clients", name),
            Page(name) => (Program::Node, "browser", name),
        };
        let Some(path) = program.find()? else {
            return Ok(None);
        };
        // A page's script may bundle clients.
        for folder in [folder, "clients"] {
            if program == Program::Node && !programs::has_node_modules(folder)? {
                return Ok(None);
            }
        }
        let script = programs::root().join("tests").join(folder).join(name);
        let mut command = Command::new(path);
        command.arg(script).env("PYTHONDONTWRITEBYTECODE", "1");
        if matches!(self, Page(_)) {
            let Some(chromium) = Program::Chromium.find()? else {
                return Ok(None);
            };
            command.arg("--chromium").arg(chromium);
        }
        Ok(Some(command))
    }
}

/// Builds the model, starts its server, runs the script against it, and stops
/// the server, which must end well.
fn drive(script: Script, model: &str, access: Access) -> anyhow::Result<()> {
    let (Some(workbench), Some(mut command)) = (Workbench::open()?, script.command()?) else {
        return Ok(());
    };
    let program = workbench.built(model, &[])?;
    let mut arguments = vec!["--mcp"];
    if access == WithKey {
        arguments.extend(["--api-key", KEY]);
        command.args(["--api-key", KEY]);
    }
    let server = Server::start(&program, &arguments)?;
    command.args(["--http", server.http()]);
    if !matches!(script, Page(_)) {
        command.args(["--grpc", server.grpc()]);
        command.arg("--model-dir").arg(fixture::folder(model));
        command.arg("--program").arg(&program);
    }
    pass(&mut command).with_context(|| format!("the server: {}", troubles(&server.said())))?;
    let troubles = troubles(&server.stop()?);
    ensure!(troubles.is_empty(), "the server: {troubles}");
    Ok(())
}

/// What a server says beside what it always says: bugs, of which clients are told
/// little.
fn troubles(said: &str) -> String {
    let usual = [" INFO ", " WARN "];
    let lines = said.lines();
    let others = lines.filter(|line| usual.iter().all(|level| !line.contains(level)));
    others.collect::<Vec<_>>().join("\n")
}

/// Runs a script and prints what it checked; what it printed is the failure.
fn pass(command: &mut Command) -> anyhow::Result<()> {
    // Where there is a proxy, clients would ask it for this machine.
    command.envs([("NO_PROXY", "127.0.0.1"), ("no_proxy", "127.0.0.1")]);
    process::pass(command).map(drop)
}

/// `NAME: SCRIPT, MODEL, ACCESS;` makes a test NAME.
macro_rules! clients {
    ($($name:ident: $script:expr, $model:literal, $access:expr;)*) => {$(
        #[test]
        fn $name() -> anyhow::Result<()> {
            drive($script, $model, $access)
        }
    )*};
}

clients! {
    openai_sentence: Python("openai_client.py"), "st-mean-normalize", Open;
    openai_sentence_longer_than_one: Python("openai_client.py"), "st-weightedmean", Open;
    openai_with_key: Python("openai_client.py"), "st-mean-normalize", WithKey;
    openai_other_task: Python("openai_client.py"), "bert-token_classification", Open;
    openai_node: Node("openai_client.mjs"), "st-mean-normalize", Open;
    openai_node_with_key: Node("openai_client.mjs"), "st-mean-normalize", WithKey;

    ollama_sentence: Python("ollama_client.py"), "st-mean-normalize", Open;
    ollama_other_task: Python("ollama_client.py"), "bert-token_classification", Open;
    langchain_sentence: Python("langchain_client.py"), "st-mean-normalize", Open;

    chromadb_sentence: Framework("chromadb_client.py"), "st-mean-normalize", Open;
    chromadb_with_key: Framework("chromadb_client.py"), "st-mean-normalize", WithKey;
    haystack_sentence: Framework("haystack_client.py"), "st-mean-normalize", Open;
    haystack_with_key: Framework("haystack_client.py"), "st-mean-normalize", WithKey;
    haystack_rerank: Framework("haystack_client.py"), "ce-modules", Open;
    haystack_sparse: Framework("haystack_client.py"), "splade-max", Open;
    langchain_hugging_face: Framework("langchain_huggingface_client.py"), "st-mean-normalize", Open;
    litellm_sentence: Framework("litellm_client.py"), "st-mean-normalize", Open;
    litellm_with_key: Framework("litellm_client.py"), "st-mean-normalize", WithKey;
    litellm_rerank: Framework("litellm_client.py"), "ce-modules", Open;
    llama_index_sentence: Framework("llama_index_client.py"), "st-mean-normalize", Open;
    llama_index_with_key: Framework("llama_index_client.py"), "st-mean-normalize", WithKey;
    llama_index_rerank: Framework("llama_index_client.py"), "ce-modules", Open;

    cohere_modules: Python("cohere_client.py"), "ce-modules", Open;
    cohere_sentence: Python("cohere_client.py"), "st-mean-normalize", Open;
    cohere_without_modules: Python("cohere_client.py"), "cls-pair-rerank", Open;

    hugging_face_sentence: Python("huggingface_client.py"), "st-mean-normalize", Open;
    hugging_face_with_key: Python("huggingface_client.py"), "st-mean-normalize", WithKey;
    hugging_face_embedding: Python("huggingface_client.py"), "bert-embedding", Open;
    hugging_face_labels: Python("huggingface_client.py"), "cls-multi-label", Open;
    hugging_face_zero_shot: Python("huggingface_client.py"), "cls-pair-nli", Open;
    hugging_face_tokens: Python("huggingface_client.py"), "bert-token_classification", Open;
    hugging_face_fill_mask: Python("huggingface_client.py"), "bert-fill_mask", Open;

    hugging_face_node_sentence: Node("huggingface_client.mjs"), "st-mean-normalize", Open;
    hugging_face_node_labels: Node("huggingface_client.mjs"), "cls-multi-label", Open;
    hugging_face_node_zero_shot: Node("huggingface_client.mjs"), "cls-pair-nli", Open;
    hugging_face_node_tokens: Node("huggingface_client.mjs"), "bert-token_classification", Open;
    hugging_face_node_fill_mask: Node("huggingface_client.mjs"), "bert-fill_mask", Open;

    grpc_sentence: Python("grpc_client.py"), "st-mean-normalize", Open;
    grpc_with_key: Python("grpc_client.py"), "st-mean-normalize", WithKey;
    grpc_embedding: Python("grpc_client.py"), "bert-embedding", Open;
    grpc_labels: Python("grpc_client.py"), "bert-sequence_classification", Open;
    grpc_tokens: Python("grpc_client.py"), "bert-token_classification", Open;

    grpc_compression: Python("grpc_compression.py"), "st-mean-normalize", Open;
    tei_grpc_sentence: Python("tei_grpc_client.py"), "st-mean-normalize", Open;
    tei_grpc_sentence_longer_than_one: Python("tei_grpc_client.py"), "st-weightedmean", Open;
    tei_grpc_with_key: Python("tei_grpc_client.py"), "st-mean-normalize", WithKey;
    tei_grpc_embedding: Python("tei_grpc_client.py"), "bert-embedding", Open;
    tei_grpc_sparse: Python("tei_grpc_client.py"), "splade-max", Open;
    tei_grpc_labels: Python("tei_grpc_client.py"), "cls-multi-label", Open;
    tei_grpc_pairs: Python("tei_grpc_client.py"), "cls-pair-nli", Open;
    tei_grpc_rerank: Python("tei_grpc_client.py"), "ce-modules", Open;
    tei_grpc_tokens: Python("tei_grpc_client.py"), "bert-token_classification", Open;

    grpc_late_interaction: Python("late_interaction_client.py"), "late-bert", Open;
    grpc_late_interaction_with_prompts: Python("late_interaction_client.py"), "late-multi-vector", Open;
    grpc_hybrid: Python("hybrid_client.py"), "hybrid-bge-m3", Open;
    mcp_schemas_hybrid: Node("mcp_schemas.mjs"), "hybrid-bge-m3", Open;
    schema_hybrid: Python("schema.py"), "hybrid-bge-m3", Open;

    mcp_sentence: Python("mcp_client.py"), "st-mean-normalize", Open;
    mcp_with_key: Python("mcp_client.py"), "st-mean-normalize", WithKey;
    mcp_rerank: Python("mcp_client.py"), "ce-modules", Open;
    mcp_labels: Python("mcp_client.py"), "cls-multi-label", Open;
    mcp_tokens: Python("mcp_client.py"), "bert-token_classification", Open;
    mcp_sparse: Python("mcp_client.py"), "splade-max", Open;
    mcp_fill_mask: Python("mcp_client.py"), "bert-fill_mask", Open;
    mcp_node: Node("mcp_client.mjs"), "st-mean-normalize", Open;

    mcp_conformance: Node("mcp_conformance.mjs"), "st-mean-normalize", Open;
    mcp_inspector: Node("mcp_inspector.mjs"), "st-mean-normalize", Open;
    mcp_inspector_with_key: Node("mcp_inspector.mjs"), "st-mean-normalize", WithKey;
    mcp_schemas_sentence: Node("mcp_schemas.mjs"), "st-mean-normalize", Open;
    mcp_schemas_with_key: Node("mcp_schemas.mjs"), "st-mean-normalize", WithKey;
    mcp_schemas_embedding: Node("mcp_schemas.mjs"), "bert-embedding", Open;
    mcp_schemas_late_interaction: Node("mcp_schemas.mjs"), "late-bert", Open;
    mcp_schemas_rerank: Node("mcp_schemas.mjs"), "ce-modules", Open;
    mcp_schemas_labels: Node("mcp_schemas.mjs"), "cls-multi-label", Open;
    mcp_schemas_zero_shot: Node("mcp_schemas.mjs"), "cls-pair-nli", Open;
    mcp_schemas_tokens: Node("mcp_schemas.mjs"), "bert-token_classification", Open;
    mcp_schemas_sparse: Node("mcp_schemas.mjs"), "splade-max", Open;
    mcp_schemas_fill_mask: Node("mcp_schemas.mjs"), "bert-fill_mask", Open;

    schema_sentence: Python("schema.py"), "st-mean-normalize", Open;
    schema_embedding: Python("schema.py"), "bert-embedding", Open;
    schema_late_interaction: Python("schema.py"), "late-bert", Open;
    schema_rerank: Python("schema.py"), "ce-modules", Open;
    schema_labels: Python("schema.py"), "cls-multi-label", Open;
    schema_tokens: Python("schema.py"), "bert-token_classification", Open;
    schema_sparse: Python("schema.py"), "splade-max", Open;
    schema_fill_mask: Python("schema.py"), "bert-fill_mask", Open;

    page_sentence: Page("server-page.mjs"), "st-mean-normalize", Open;
    page_with_key: Page("server-page.mjs"), "st-mean-normalize", WithKey;
    page_embedding: Page("server-page.mjs"), "bert-embedding", Open;
    page_late_interaction: Page("server-page.mjs"), "late-bert", Open;
    page_rerank: Page("server-page.mjs"), "ce-modules", Open;
    page_zero_shot: Page("server-page.mjs"), "cls-pair-nli", Open;
    page_tokens: Page("server-page.mjs"), "bert-token_classification", Open;
    page_sparse: Page("server-page.mjs"), "splade-max", Open;
    page_fill_mask: Page("server-page.mjs"), "bert-fill_mask", Open;
}

/// For scripts that start the server themselves.
fn let_drive(script: Script, model: &str) -> anyhow::Result<()> {
    let (Some(workbench), Some(mut command)) = (Workbench::open()?, script.command()?) else {
        return Ok(());
    };
    let program = workbench.built(model, &[])?;
    command.arg("--model-dir").arg(fixture::folder(model));
    pass(command.arg("--program").arg(&program))
}

/// The server has to be told where the collector is.
#[test]
fn traces() -> anyhow::Result<()> {
    let_drive(Python("traces.py"), "st-mean-normalize")
}

/// The server has to be told the page's origin.
#[test]
fn in_a_page_embeddings() -> anyhow::Result<()> {
    let_drive(Page("other-clients.mjs"), "st-mean-normalize")
}

#[test]
fn in_a_page_reranking() -> anyhow::Result<()> {
    let_drive(Page("other-clients.mjs"), "cls-pair-rerank")
}
