"""gRPC clients of a model of late interaction: upstream's service, by the server's
reflection, and text-embeddings-inference's. Vectors of queries and of documents, and
scores of the documents for each query, as the folder's golden.json has them."""

import tempfile

import grpc

from cases import arguments, check, demand, equal, near
from grpc_client import Described
from tei_grpc_client import TIMEOUT_SECONDS, Tei, same_ranks

SERVICE = "encoderfile.embedding.EmbeddingInference"


def main():
    server, model = arguments(__doc__)
    call = {"timeout": TIMEOUT_SECONDS}
    plain = [case for case in model.cases if "prompt_name" not in case]
    queries = [case for case in plain if case["role"] == "query"]
    documents = [case for case in plain if case["role"] == "document"]
    texts = [case["text"] for case in documents]
    with grpc.insecure_channel(server.grpc) as channel, tempfile.TemporaryDirectory() as folder:
        predict(Described(channel, SERVICE), model, queries, documents, call)
        tei = Tei(channel, folder)
        embed_all(tei, queries, documents, call)
        rerank(tei, model, queries, texts, call)


def same_vectors(rows, case):
    equal(len(rows), len(case["embeddings"]))
    for row, expected in zip(rows, case["embeddings"]):
        near(row, expected)


def predict(described, model, queries, documents, call):
    def results(texts, **options):
        options = described.message("encoderfile.options.Options", **options)
        return described.predict(call, inputs=texts, options=options).results

    for role, number, cases in (("query", 1, queries), ("document", 2, documents)):
        with check(f"Predict, role {role}"):
            for result, case in zip(results([case["text"] for case in cases], role=number), cases):
                same_vectors([it.embedding for it in result.embeddings], case)
    with check("Predict, a query"):
        for query, scores in zip(queries, model.golden["scores"]):
            got = results([case["text"] for case in documents], query=query["text"])
            demand(all(it.HasField("score") and not it.embeddings for it in got), "vectors instead of scores")
            near([it.score for it in got], scores)


def embed_all(tei, queries, documents, call):
    for role, cases in (("query", queries), ("document", documents)):
        with check(f"EmbedAll, prompt_name {role}"):
            for case in cases:
                request = tei.pb.EmbedAllRequest(inputs=case["text"], truncate=True, prompt_name=role)
                got = tei.Embed.EmbedAll(request, **call).token_embeddings
                same_vectors([it.embeddings for it in got], case)


def rerank(tei, model, queries, texts, call):
    for query, scores in zip(queries, model.golden["scores"]):
        ranked = sorted(range(len(scores)), key=lambda index: -scores[index])
        expected = [{"index": index, "score": scores[index]} for index in ranked]
        with check(f"Rerank, {query['text'][:20]!r}"):
            request = tei.pb.RerankRequest(query=query["text"], texts=texts, truncate=True)
            response = tei.Rerank.Rerank(request, **call)
            same_ranks(response, expected)
        with check("RerankStream, which computes the query once too"):
            messages = [tei.pb.RerankStreamRequest(query=query["text"], text=text, truncate=True) for text in texts]
            streamed = tei.Rerank.RerankStream(iter(messages), **call)
            same_ranks(streamed, expected)
            equal(streamed.metadata.compute_tokens, response.metadata.compute_tokens)
    with check("RerankStream, a query each"):
        asked = queries[:2]
        messages = [tei.pb.RerankStreamRequest(query=query["text"], text=texts[0], truncate=True) for query in asked]
        got = {it.index: it.score for it in tei.Rerank.RerankStream(iter(messages), **call).ranks}
        near([got[0], got[1]], [row[0] for row in model.golden["scores"][:2]])


if __name__ == "__main__":
    main()
