"""A gRPC client of text-embeddings-inference's: `tei.v1`, unary and streaming, with its
status codes and headers. Generated at the start of each run from TEI's own definitions,
in `tei`."""

import importlib
import sys
import tempfile
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_tools import protoc

from cases import arguments, check, demand, equal, near, refused, says, unit

TIMEOUT_SECONDS = 60
SERVICES = ("Info", "Embed", "Predict", "Rerank", "Tokenize")
HEADERS = {
    "x-compute-type", "x-compute-time", "x-compute-characters", "x-compute-tokens",
    "x-total-time", "x-tokenization-time", "x-queue-time", "x-inference-time",
}


def main():
    server, model = arguments(__doc__)
    call = {
        "timeout": TIMEOUT_SECONDS,
        "metadata": [("authorization", f"Bearer {server.api_key}")] if server.api_key else None,
    }
    with grpc.insecure_channel(server.grpc) as channel, tempfile.TemporaryDirectory() as folder:
        with check("a client is generated"):
            tei = Tei(channel, folder)
        checks = {
            "sentence_embedding": [embed, embed_all, tokenize],
            "embedding": [embed_all_alone],
            "sparse_embedding": [embed_sparse],
            "sequence_classification": [rerank if model.reranks() else classify, pairs],
        }
        for run in checks.get(model.task, []):
            run(tei, model, call)
        info(tei, model, call)
        other_tasks(tei, model, call)
        health(channel, model, call)
        if server.api_key:
            with check("a wrong key is UNAUTHENTICATED"):
                wrong = [("authorization", "Bearer wrong")]
                code = grpc.StatusCode.UNAUTHENTICATED
                fails(code, tei.Info.Info, tei.pb.InfoRequest(), timeout=TIMEOUT_SECONDS, metadata=wrong)


class Tei:
    """A stub for each service, and the messages."""

    def __init__(self, channel, folder):
        definitions = Path(__file__).parent / "tei"
        out = [f"--python_out={folder}", f"--grpc_python_out={folder}"]
        status = protoc.main(["protoc", f"-I{definitions}", *out, "tei.proto"])
        equal(status, 0)
        sys.path.insert(0, folder)
        self.pb = importlib.import_module("tei_pb2")
        services = importlib.import_module("tei_pb2_grpc")
        for name in SERVICES:
            setattr(self, name, getattr(services, f"{name}Stub")(channel))


def fails(code, method, request, **call):
    """The call must fail with this code; gives what it says."""
    with refused(grpc.RpcError) as caught:
        answer = method(request, **call)
        # A stream fails when it is read.
        list(answer)
    equal(caught[0].code(), code)
    return caught[0].details()


def embed(tei, model, call):
    request = tei.pb.EmbedRequest
    short = [case for case in model.cases if case["tokens"] == model.tokens_read(case)]
    with check("Embed"):
        for case in short:
            got = tei.Embed.Embed(request(inputs=case["text"], normalize=True), **call)
            model.same_embedding(got.embeddings, unit(case["embedding"]))
            equal(got.metadata.compute_tokens, case["tokens"])
            equal(got.metadata.compute_chars, len(case["text"]))
            demand(got.metadata.total_time_ns > 0, "it took no time")
    with check("Embed, headers"):
        message = request(inputs=short[0]["text"])
        _, answer = tei.Embed.Embed.with_call(message, **call)
        headers = dict(answer.initial_metadata())
        missing = HEADERS - set(headers)
        demand(not missing, f"no {sorted(missing)}")
        equal(headers["x-compute-tokens"], str(short[0]["tokens"]))
    with check("Embed, not normalised unless asked to"):
        got = tei.Embed.Embed(request(inputs=short[0]["text"]), **call).embeddings
        if not model.normalizes():
            near(got, short[0]["embedding"])
        model.same_embedding(unit(got), unit(short[0]["embedding"]))
    with check("Embed, dimensions"):
        half = len(short[0]["embedding"]) // 2
        got = tei.Embed.Embed(request(inputs=short[0]["text"], normalize=True, dimensions=half), **call)
        model.same_embedding(got.embeddings, unit(short[0]["embedding"][:half]))
    with check("EmbedStream, in order"):
        messages = [request(inputs=case["text"], truncate=True, normalize=True) for case in model.cases * 20]
        answers = list(tei.Embed.EmbedStream(iter(messages), **call))
        model.same_embeddings([it.embeddings for it in answers], [unit(it["embedding"]) for it in model.cases * 20])
    with check("an unknown prompt is INVALID_ARGUMENT"):
        message = request(inputs="text", prompt_name="nobody's")
        says(fails(grpc.StatusCode.INVALID_ARGUMENT, tei.Embed.Embed, message, **call), "nobody's")
    long = [case for case in model.cases if case["tokens"] > model.tokens_read(case)]
    if long:
        with check("a long text is INVALID_ARGUMENT, unless it may be cut"):
            message = request(inputs=long[0]["text"])
            says(fails(grpc.StatusCode.INVALID_ARGUMENT, tei.Embed.Embed, message, **call), str(long[0]["tokens"]))
            got = tei.Embed.Embed(request(inputs=long[0]["text"], truncate=True, normalize=True), **call)
            model.same_embedding(got.embeddings, unit(long[0]["embedding"]))
        with check("EmbedStream, what fails ends it after what came before"):
            texts = [short[0]["text"], long[0]["text"], short[0]["text"]]
            answers = tei.Embed.EmbedStream((request(inputs=text, normalize=True) for text in texts), **call)
            model.same_embedding(next(answers).embeddings, unit(short[0]["embedding"]))
            with refused(grpc.RpcError) as caught:
                next(answers)
            equal(caught[0].code(), grpc.StatusCode.INVALID_ARGUMENT)


def embed_all(tei, model, call):
    with check("EmbedAll and its stream: a row a token"):
        for case in model.cases[:2]:
            message = tei.pb.EmbedAllRequest(inputs=case["text"], truncate=True)
            got = tei.Embed.EmbedAll(message, **call)
            equal(len(got.token_embeddings), model.tokens_read(case))
            (streamed,) = tei.Embed.EmbedAllStream(iter([message]), **call)
            equal(streamed.token_embeddings, got.token_embeddings)


def embed_all_alone(tei, model, call):
    with check("EmbedAll"):
        for case in model.cases:
            got = tei.Embed.EmbedAll(tei.pb.EmbedAllRequest(inputs=case["text"], truncate=True), **call)
            rows = [row.embeddings for row in got.token_embeddings]
            near(rows[0], case["cls"])
            near(rows[-1], case["last_token"])


def embed_sparse(tei, model, call):
    _, _, texts, results = next(it for it in model.requests("top_k") if not it[1])
    requests = [tei.pb.EmbedSparseRequest(inputs=text, truncate=True) for text in texts]
    with check("EmbedSparse"):
        for request, result in zip(requests, results):
            same_weights(tei.Embed.EmbedSparse(request, **call), result)
    with check("EmbedSparseStream"):
        answers = list(tei.Embed.EmbedSparseStream(iter(requests), **call))
        equal(len(answers), len(results))
        for answer, result in zip(answers, results):
            same_weights(answer, result)


def same_weights(got, result):
    expected = result["sparse_embedding"]
    equal([it.index for it in got.sparse_embeddings], [it["index"] for it in expected])
    near([it.value for it in got.sparse_embeddings], [it["value"] for it in expected])


def classify(tei, model, call):
    cases = [case for case in model.cases if "text_pair" not in case]
    requests = [tei.pb.PredictRequest(inputs=case["text"], truncate=True) for case in cases]
    with check("Predict"):
        for request, case in zip(requests, cases):
            same_labels(tei.Predict.Predict(request, **call), model.best_first(case))
    with check("PredictStream"):
        answers = list(tei.Predict.PredictStream(iter(requests), **call))
        equal(len(answers), len(cases))
        for answer, case in zip(answers, cases):
            same_labels(answer, model.best_first(case))
    if cases:
        with check("Predict, raw scores"):
            request = tei.pb.PredictRequest(inputs=cases[0]["text"], truncate=True, raw_scores=True)
            got = tei.Predict.Predict(request, **call)
            near([it.score for it in got.predictions], sorted(cases[0]["logits"], reverse=True))


def pairs(tei, model, call):
    cases = [case for case in model.cases if "text_pair" in case and "pipeline" in case]
    requests = [
        tei.pb.PredictPairRequest(inputs=[case["text"], case["text_pair"]], truncate=True) for case in cases
    ]
    with check("PredictPair"):
        for request, case in zip(requests, cases):
            same_labels(tei.Predict.PredictPair(request, **call), case["pipeline"])
    with check("PredictPairStream"):
        answers = list(tei.Predict.PredictPairStream(iter(requests), **call))
        equal(len(answers), len(cases))
        for answer, case in zip(answers, cases):
            same_labels(answer, case["pipeline"])
    with check("PredictPair of none or three is INVALID_ARGUMENT"):
        for inputs in ([], ["a", "b", "c"]):
            request = tei.pb.PredictPairRequest(inputs=inputs)
            fails(grpc.StatusCode.INVALID_ARGUMENT, tei.Predict.PredictPair, request, **call)


def same_labels(got, expected):
    # Pipelines give a list, or one entry where there is one logit.
    expected = expected if isinstance(expected, list) else [expected]
    equal([it.label for it in got.predictions], [it["label"] for it in expected])
    near([it.score for it in got.predictions], [it["score"] for it in expected])


def rerank(tei, model, call):
    query, texts, expected = model.ranking()
    with check("Rerank"):
        request = tei.pb.RerankRequest(query=query, texts=texts, truncate=True, return_text=True)
        response = tei.Rerank.Rerank(request, **call)
        same_ranks(response, expected)
        equal([it.text for it in response.ranks], [texts[it.index] for it in response.ranks])
    with check("Rerank, without the texts"):
        response = tei.Rerank.Rerank(tei.pb.RerankRequest(query=query, texts=texts, truncate=True), **call)
        demand(not any(it.HasField("text") for it in response.ranks), "texts that nobody asked for")
    with check("RerankStream"):
        messages = [
            tei.pb.RerankStreamRequest(query=query, text=text, truncate=True, return_text=index == 0)
            for index, text in enumerate(texts)
        ]
        response = tei.Rerank.RerankStream(iter(messages), **call)
        same_ranks(response, expected)
        equal([it.text for it in response.ranks], [texts[it.index] for it in response.ranks])
    with check("no texts are INVALID_ARGUMENT"):
        fails(grpc.StatusCode.INVALID_ARGUMENT, tei.Rerank.Rerank, tei.pb.RerankRequest(query=query), **call)
        fails(grpc.StatusCode.INVALID_ARGUMENT, tei.Rerank.RerankStream, iter([]), **call)
    with check("too many texts are INVALID_ARGUMENT"):
        request = tei.pb.RerankRequest(query="q", texts=[""] * 2049)
        fails(grpc.StatusCode.INVALID_ARGUMENT, tei.Rerank.Rerank, request, **call)


def same_ranks(response, expected):
    equal([it.index for it in response.ranks], [it["index"] for it in expected])
    near([it.score for it in response.ranks], [it["score"] for it in expected])


def tokenize(tei, model, call):
    text = model.cases[0]["text"]
    with check("Tokenize"):
        request = tei.pb.EncodeRequest(inputs=text, add_special_tokens=True)
        tokens = tei.Tokenize.Tokenize(request, **call).tokens
        equal([it.id for it in tokens], model.token_ids(text))
        demand(tokens[0].special and not tokens[0].HasField("start"), "a special token stands in no text")
        for token in tokens[1:-1]:
            equal(token.text, text[token.start:token.stop])
    with check("Tokenize, without special tokens unless asked for"):
        bare = tei.Tokenize.Tokenize(tei.pb.EncodeRequest(inputs=text), **call).tokens
        equal([it.id for it in bare], [it.id for it in tokens if not it.special])
    with check("Decode and the streams"):
        request = tei.pb.DecodeRequest(ids=[it.id for it in tokens], skip_special_tokens=True)
        decoded = tei.Tokenize.Decode(request, **call).text
        demand(decoded, "nothing")
        equal([it.text for it in tei.Tokenize.DecodeStream(iter([request] * 3), **call)], [decoded] * 3)
        requests = [tei.pb.EncodeRequest(inputs=text)] * 3
        equal([it.tokens for it in tei.Tokenize.TokenizeStream(iter(requests), **call)], [bare] * 3)


def info(tei, model, call):
    types = {"sentence_embedding": 0, "embedding": 0, "sparse_embedding": 0, "sequence_classification": 1}
    with check("Info"):
        if model.task not in types:
            code = grpc.StatusCode.FAILED_PRECONDITION
            says(fails(code, tei.Info.Info, tei.pb.InfoRequest(), **call), model.task)
            return
        info = tei.Info.Info(tei.pb.InfoRequest(), **call)
        equal(info.model_id, model.name)
        equal(info.model_type, 2 if model.reranks() else types[model.task])
        demand(info.version and info.model_sha and info.max_input_length > 0, f"something is missing: {info}")


def other_tasks(tei, model, call):
    pb = tei.pb
    methods = {
        "sentence_embedding": (tei.Embed.Embed, pb.EmbedRequest(inputs="text")),
        "sparse_embedding": (tei.Embed.EmbedSparse, pb.EmbedSparseRequest(inputs="text")),
        "sequence_classification": (tei.Predict.Predict, pb.PredictRequest(inputs="text")),
        "reranking": (tei.Rerank.Rerank, pb.RerankRequest(query="q", texts=["text"])),
    }
    for task, (method, request) in methods.items():
        if task == model.task or (task == "reranking" and model.reranks()):
            continue
        with check(f"{task} of a {model.task} model is FAILED_PRECONDITION"):
            says(fails(grpc.StatusCode.FAILED_PRECONDITION, method, request, **call), model.task)


def health(channel, model, call):
    stub = health_pb2_grpc.HealthStub(channel)
    served = {"Info", "Tokenize"}
    if "embedding" in model.task:
        served.add("Embed")
    if model.task == "sequence_classification":
        served.add("Predict")
    if model.task == "sequence_classification" and model.reranks():
        served.add("Rerank")
    with check("health of each service"):
        for name in SERVICES:
            answer = stub.Check(health_pb2.HealthCheckRequest(service=f"tei.v1.{name}"), **call)
            response = health_pb2.HealthCheckResponse
            equal(answer.status, response.SERVING if name in served else response.NOT_SERVING)


if __name__ == "__main__":
    main()
