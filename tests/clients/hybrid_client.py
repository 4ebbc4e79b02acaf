"""gRPC clients of a model with three kinds of vectors (BGE-M3): the services for sentence
embeddings and for sparse ones, by the server's reflection, and text-embeddings-inference's. The
vectors and scores are those of the folder's requests.json."""

import tempfile

import grpc

from cases import arguments, check, demand, equal, near
from grpc_client import Described
from tei_grpc_client import TIMEOUT_SECONDS, Tei, same_ranks

DENSE = "encoderfile.sentence_embedding.SentenceEmbeddingInference"
SPARSE = "encoderfile.sparse_embedding.SparseEmbeddingInference"
# The numbers of options.proto.
VECTORS = {"dense": 1, "sparse": 2, "colbert": 3, "all": 4}


def main():
    server, model = arguments(__doc__)
    call = {"timeout": TIMEOUT_SECONDS}
    requests = list(model.requests("vectors", "query"))
    vectors = [it for it in requests if set(it[1]) == {"vectors"}]
    queries = [it for it in requests if "query" in it[1]]
    demand(len(vectors) == 4 and queries, "requests.json lacks requests")
    with grpc.insecure_channel(server.grpc) as channel, tempfile.TemporaryDirectory() as folder:
        dense = Described(channel, DENSE)
        for _, options, texts, results in vectors:
            predict(dense, options["vectors"], texts, results, call)
        rank(dense, queries, call)
        _, _, texts, results = next(it for it in vectors if it[1]["vectors"] == "sparse")
        predict_sparse(Described(channel, SPARSE), texts, results, call)
        tei = Tei(channel, folder)
        embed_sparse(tei, texts, results, call)
        rerank(tei, queries, call)


def options_of(described, **options):
    return described.message("encoderfile.options.Options", **options)


def predict(described, vectors, texts, results, call):
    with check(f"Predict, {vectors}"):
        options = options_of(described, vectors=VECTORS[vectors])
        got = described.predict(call, inputs=texts, options=options).results
        equal(len(got), len(results))
        for it, expected in zip(got, results):
            near(it.embedding, expected.get("embedding", []))
            same_weights(it.sparse, expected.get("sparse_embedding", []))
            same_vectors(it.tokens, expected.get("embeddings", []))


def same_weights(got, expected):
    equal([it.index for it in got], [it["index"] for it in expected])
    near([it.value for it in got], [it["value"] for it in expected])


def same_vectors(got, expected):
    equal([it.token_info.token_id for it in got], [it["token_info"]["token_id"] for it in expected])
    for row, of in zip(got, expected):
        near(row.embedding, of["embedding"])


def in_order(results):
    """The scores of a ranking, in the order of the texts."""
    return [it["score"] for it in sorted(results, key=lambda it: it["index"])]


def rank(described, queries, call):
    with check("Predict, a query"):
        for _, options, texts, results in queries:
            vectors = VECTORS.get(options.get("vectors"), 0)
            options = options_of(described, query=options["query"], vectors=vectors)
            got = described.predict(call, inputs=texts, options=options).results
            demand(all(it.HasField("score") and not it.embedding for it in got), "vectors instead of scores")
            near([it.score for it in got], in_order(results))


def predict_sparse(described, texts, results, call):
    with check("Predict of the sparse service"):
        got = described.predict(call, inputs=texts).results
        for it, expected in zip(got, results, strict=True):
            same_weights(it.values, expected["sparse_embedding"])


def embed_sparse(tei, texts, results, call):
    with check("EmbedSparse"):
        for text, expected in zip(texts, results):
            request = tei.pb.EmbedSparseRequest(inputs=text, truncate=True)
            got = tei.Embed.EmbedSparse(request, **call).sparse_embeddings
            same_weights(got, expected["sparse_embedding"])


def rerank(tei, queries, call):
    with check("Rerank, by all vectors"):
        for _, options, texts, results in queries:
            if "vectors" not in options:
                request = tei.pb.RerankRequest(query=options["query"], texts=texts, truncate=True)
                same_ranks(tei.Rerank.Rerank(request, **call), results)


if __name__ == "__main__":
    main()
