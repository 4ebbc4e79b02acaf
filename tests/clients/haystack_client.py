"""haystack's components for text-embeddings-inference: embedders and ranker, over HTTP and
over gRPC, where the messages are those that the server's reflection describes."""

import os

os.environ["HAYSTACK_TELEMETRY_ENABLED"] = "false"

from haystack import Document  # noqa: E402
from haystack.utils import Secret  # noqa: E402
from haystack_integrations.components.embedders.huggingface_api import (  # noqa: E402
    HuggingFaceAPIDocumentEmbedder,
    HuggingFaceAPITextEmbedder,
    HuggingFaceTEISparseTextEmbedder,
)
from haystack_integrations.components.rankers.huggingface_api import HuggingFaceTEIRanker  # noqa: E402

from cases import arguments, check, equal, near, unit  # noqa: E402


def main():
    server, model = arguments(__doc__)
    token = Secret.from_token(server.api_key) if server.api_key else None
    # Its gRPC client asks for reflection without the key.
    transports = [(server.http, False)] + ([] if server.api_key else [(server.grpc, True)])
    for url, use_grpc in transports:
        run = {"sentence_embedding": embed, "sparse_embedding": embed_sparse}.get(model.task, rerank)
        run(url, model, token=token, use_grpc=use_grpc)


def embed(url, model, token, use_grpc):
    over = "gRPC" if use_grpc else "HTTP"
    options = {
        "api_type": "text_embeddings_inference", "api_params": {"url": url}, "token": token,
        "normalize": True, "truncate": True, "use_grpc": use_grpc,
    }
    texts = [case["text"] for case in model.cases]
    expected = [unit(case["embedding"]) for case in model.cases]
    with check(f"text embedder, {over}"):
        embedder = HuggingFaceAPITextEmbedder(**options)
        for text, vector in zip(texts, expected):
            model.same_embedding(embedder.run(text)["embedding"], vector)
    with check(f"document embedder, {over}"):
        embedder = HuggingFaceAPIDocumentEmbedder(**options, batch_size=2, progress_bar=False)
        documents = embedder.run([Document(content=text) for text in texts])["documents"]
        model.same_embeddings([it.embedding for it in documents], expected)


def embed_sparse(url, model, token, use_grpc):
    over = "gRPC" if use_grpc else "HTTP"
    _, _, texts, results = next(it for it in model.requests("top_k") if not it[1])
    with check(f"sparse text embedder, {over}"):
        embedder = HuggingFaceTEISparseTextEmbedder(api_base_url=url, token=token, use_grpc=use_grpc)
        for text, result in zip(texts, results):
            # Over gRPC it does not say that a long text may be cut.
            if use_grpc and "tokens_total" in result:
                continue
            got = embedder.run(text)["sparse_embedding"]
            equal(list(got.indices), [it["index"] for it in result["sparse_embedding"]])
            near(got.values, [it["value"] for it in result["sparse_embedding"]])


def rerank(url, model, token, use_grpc):
    query, texts, expected = model.ranking()
    places = list(range(len(texts)))
    if use_grpc:
        # Here neither does it say that a long text may be cut.
        places = [place for place in places if model.pair_fits(query, texts[place])]
        expected = [it for it in expected if it["index"] in places]
    with check(f"ranker, {'gRPC' if use_grpc else 'HTTP'}"):
        ranker = HuggingFaceTEIRanker(url=url, token=token, use_grpc=use_grpc, top_k=len(places))
        documents = [Document(content=texts[place], meta={"place": place}) for place in places]
        ranked = ranker.run(query=query, documents=documents)["documents"]
        equal([it.meta["place"] for it in ranked], [it["index"] for it in expected])
        near([it.score for it in ranked], [it["score"] for it in expected])


if __name__ == "__main__":
    main()
