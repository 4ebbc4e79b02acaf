//! Requests to a server, as lines that can be read: the model's number and the path, then
//! `content-encoding` (or nothing), then the body. gRPC's paths have a dot in them, and
//! the body is a message.

use crate::models;
use encoderfile_server::in_process::InProcess;
use http::Request;
use std::sync::LazyLock;

/// Limits that keep a request short, and a body that is sent compressed small.
const ARGUMENTS: [&str; 6] = [
    "--threads",
    "1",
    "--payload-limit",
    "65536",
    "--max-input-chars",
    "2000",
];

static SERVERS: LazyLock<Vec<InProcess>> = LazyLock::new(|| {
    let servers = models::NAMES.iter().map(|name| {
        let (encoder, info) = models::encoder(name)?;
        InProcess::start(encoder, info, &ARGUMENTS)
    });
    let servers: anyhow::Result<_> = servers.collect();
    servers.unwrap_or_else(|error| panic!("{error:#}"))
});

pub(crate) fn run(data: &[u8]) {
    let mut parts = data.splitn(3, |byte| *byte == b'\n');
    let mut next = || parts.next();
    let (Some(head), Some(coding), Some(body)) = (next(), next(), next()) else {
        return;
    };
    let (Some((which, path)), Ok(coding)) = (head.split_first(), std::str::from_utf8(coding))
    else {
        return;
    };
    let server = &SERVERS[usize::from(which.wrapping_sub(b'0')) % SERVERS.len()];
    let request = Request::post(path).header("host", "localhost");
    let is_grpc = path.contains(&b'.');
    let request = if is_grpc {
        let request = request.header("content-type", "application/grpc");
        request.header("te", "trailers").body(framed(body))
    } else {
        let mut request = request.header("content-type", "application/json");
        if !coding.is_empty() {
            request = request.header("content-encoding", coding);
        }
        let request = request.header("accept", "application/json, text/event-stream");
        request.body(body.to_vec())
    };
    let Ok(request) = request else {
        return;
    };
    let answer = if is_grpc {
        server.grpc(request)
    } else {
        server.http(request)
    };
    let Ok(answer) = answer else {
        return;
    };
    // An error of the server's own, which no request may cause.
    assert_ne!(
        answer.status,
        500,
        "{}",
        String::from_utf8_lossy(&answer.body)
    );
    let header = |name| answer.headers.get(name).map(|it| it.as_bytes());
    let is_internal = matches!(header("grpc-status"), Some(b"13" | b"2"));
    // tonic's word for bytes that are no message.
    let message = header("grpc-message").unwrap_or_default();
    let is_tonics = message.starts_with(b"failed%20to%20decode%20Protobuf");
    assert!(!is_internal || is_tonics, "{:?}", answer.headers);
}

/// A message of gRPC, not compressed.
fn framed(message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
    [&[0], &length.to_be_bytes()[..], message].concat()
}

pub(crate) fn seeds() -> anyhow::Result<Vec<Vec<u8>>> {
    const SEEDS: [&str; 31] = [
        "0/predict\n\n{\"inputs\": [\"a text\"], \"normalize\": false}",
        "1/predict\n\n{\"inputs\": [{\"text\": \"a\", \"text_pair\": \"b\"}], \"partial\": true}",
        "2/predict\n\n{\"inputs\": [\"a text\"], \"aggregation\": \"simple\", \"stride\": 2}",
        "3/predict\n\n{\"inputs\": [\"a [MASK]\"], \"top_k\": 2}",
        "1/predict\n\n{\"inputs\": [[\"a\", \"b\"], [\"c\"]], \"truncate\": true, \"raw_scores\": true}",
        "0/embed\n\n{\"inputs\": [\"a\", [5, 6]], \"truncate\": true, \"dimensions\": 2}",
        "4/embed_all\n\n{\"inputs\": \"a\", \"truncation_direction\": \"Left\"}",
        "0/embed_sparse\n\n{\"inputs\": \"a\"}",
        "1/rerank\n\n{\"query\": \"a\", \"texts\": [\"b\"], \"return_text\": true}",
        "6/rerank\n\n{\"query\": \"a\", \"texts\": [\"b\", \"c\"], \"raw_scores\": true}",
        "6/embed_all\n\n{\"inputs\": [\"a\"], \"prompt_name\": \"query\"}",
        "0/similarity\n\n{\"inputs\": {\"source_sentence\": \"a\", \"sentences\": [\"b\"]}}",
        "0/tokenize\n\n{\"inputs\": [\"a\"], \"add_special_tokens\": false}",
        "0/decode\n\n{\"ids\": [[1, 2]], \"skip_special_tokens\": false}",
        "0/v1/embeddings\n\n{\"input\": [[1, 2]], \"model\": \"m\", \"encoding_format\": \"base64\"}",
        "0/v1/embed\n\n{\"texts\": [\"a\"], \"input_type\": \"search_query\", \"embedding_types\": [\"int8\"]}",
        "0/v2/embed\n\n{\"texts\": [\"a\"], \"input_type\": \"search_query\", \"truncate\": \"END\"}",
        "1/v2/rerank\n\n{\"query\": \"a\", \"documents\": [\"b\", {\"text\": \"c\"}], \"top_n\": 1}",
        "0/api/embed\n\n{\"model\": \"m\", \"input\": \"a\", \"options\": {}, \"keep_alive\": \"5m\"}",
        "0/api/embeddings\n\n{\"model\": \"m\", \"prompt\": \"a\"}",
        "2/\n\n{\"inputs\": \"a text\", \"parameters\": {\"aggregation_strategy\": \"first\"}}",
        "0/invocations\n\n{\"dataframe_split\": {\"columns\": [\"text\"], \"data\": [[\"a\"]]}}",
        "0/embed\ngzip\n\u{1f}",
        "0/embed\nbr\n\u{1f}",
        "0/mcp\n\n{\"jsonrpc\": \"2.0\", \"id\": 1, \"method\": \"initialize\", \"params\": {\"protocolVersion\": \"2025-06-18\", \"capabilities\": {}, \"clientInfo\": {\"name\": \"a\", \"version\": \"1\"}}}",
        "0/mcp\n\n{\"jsonrpc\": \"2.0\", \"id\": 1, \"method\": \"tools/call\", \"params\": {\"name\": \"embed\", \"arguments\": {\"texts\": [\"a\"]}}}",
        "0/encoderfile.sentence_embedding.SentenceEmbeddingInference/Predict\n\n\n\u{1}a",
        "0/tei.v1.Embed/Embed\n\n\n\u{1}a",
        "0/tei.v1.Embed/EmbedStream\n\n\n\u{1}a",
        "0/tei.v1.Tokenize/DecodeStream\n\n\n\u{1}\u{2}",
        "6/tei.v1.Rerank/RerankStream\n\n\n\u{1}a\u{12}\u{1}b",
    ];
    Ok(SEEDS.iter().map(|seed| seed.as_bytes().to_vec()).collect())
}
