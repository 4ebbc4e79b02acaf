"""The cohere package against /v2/rerank, /v2/embed and /v1/embed: order, values, types, errors."""

import base64

import cohere
import numpy

from cases import (
    arguments,
    check,
    demand,
    equal,
    near,
    refused,
    same_bits,
    same_int8,
    says,
    unit,
)


def main():
    server, model = arguments(__doc__)
    if model.reranks():
        rerank(client(server), model)
        mistakes(client(server), model)
    elif model.task == "sentence_embedding":
        embed(client(server), model)
        embed_v1(server, model)
    else:
        other_task(client(server), model)
    if server.api_key:
        wrong_key(server, model)


def client(server, key=None):
    return cohere.ClientV2(api_key=key or server.api_key or "none is set", base_url=server.http, max_retries=0)


def rerank(client, model):
    query, texts, expected = model.ranking()
    with check("rerank"):
        response = client.rerank(model=model.name, query=query, documents=texts)
        same_ranking(response, expected)
        demand(response.id, "no id")
        demand(response.meta is not None, "no meta")
    with check("rerank, top_n"):
        response = client.rerank(model=model.name, query=query, documents=texts, top_n=2)
        same_ranking(response, expected[:2])
    with check("rerank, top_n above the number of documents"):
        response = client.rerank(model=model.name, query=query, documents=texts, top_n=1000)
        same_ranking(response, expected)


def same_ranking(response, expected):
    equal([it.index for it in response.results], [it["index"] for it in expected])
    near([it.relevance_score for it in response.results], [it["score"] for it in expected])


def embed(client, model):
    texts = [case["text"] for case in model.cases]
    expected = [unit(case["embedding"]) for case in model.cases]
    ask = {"model": model.name, "input_type": "classification"}
    with check("embed"):
        response = client.embed(texts=texts, embedding_types=["float"], **ask)
        model.same_embeddings(response.embeddings.float_, expected)
        equal(response.texts, texts)
        tokens = sum(map(model.tokens_read, model.cases))
        equal(response.meta.billed_units.input_tokens, tokens)
    with check("embed, several types"):
        types = ["int8", "uint8", "binary", "ubinary", "base64"]
        response = client.embed(texts=texts, embedding_types=types, **ask)
        found = response.embeddings
        for int8, scale, reference in zip(found.int8, response.scales, expected):
            same_int8(int8, scale, reference)
        equal([[it - 128 for it in row] for row in found.uint8], found.int8)
        for bits, reference in zip(found.ubinary, expected):
            same_bits(bits, reference)
        equal([[it - 128 for it in row] for row in found.ubinary], found.binary)
        floats = [numpy.frombuffer(base64.b64decode(it), "<f4") for it in found.base64]
        model.same_embeddings(floats, expected)
        demand(found.float_ is None, "float was not asked for")
    with check("embed, output_dimension"):
        half = len(expected[0]) // 2
        response = client.embed(texts=texts[:1], output_dimension=half, embedding_types=["float"], **ask)
        model.same_embedding(response.embeddings.float_[0], unit(model.cases[0]["embedding"][:half]))
    with check("embed, no texts are a BadRequestError"):
        with refused(cohere.BadRequestError) as caught:
            client.embed(texts=[], embedding_types=["float"], **ask)
        says(message(caught[0]), "texts")
    with check("embed, an unknown type is an UnprocessableEntityError"):
        with refused(cohere.UnprocessableEntityError) as caught:
            client.embed(texts=texts[:1], embedding_types=["int4"], **ask)
        says(message(caught[0]), "embedding_types", "ubinary")


def embed_v1(server, model):
    """The client of the first version, which asks for 96 texts at a time."""
    client = cohere.Client(api_key=server.api_key or "none is set", base_url=server.http, max_retries=0)
    texts = [case["text"] for case in model.cases]
    with check("embed of v1"):
        response = client.embed(texts=texts, model=model.name, input_type="classification")
        model.same_embeddings(response.embeddings, [unit(case["embedding"]) for case in model.cases])


def mistakes(client, model):
    with check("no documents are a BadRequestError"):
        with refused(cohere.BadRequestError) as caught:
            client.rerank(model=model.name, query="query", documents=[])
        says(message(caught[0]), "documents")


def other_task(client, model):
    with check(f"rerank with a {model.task} model is an UnprocessableEntityError"):
        with refused(cohere.UnprocessableEntityError) as caught:
            client.rerank(model=model.name, query="query", documents=["text"])
        says(message(caught[0]), model.task)


def wrong_key(server, model):
    with check("a wrong key is an UnauthorizedError"):
        with refused(cohere.UnauthorizedError) as caught:
            client(server, key="wrong").rerank(model=model.name, query="query", documents=["text"])
        demand(message(caught[0]), "nothing said")


def message(error):
    """`{"message"}`, which the client leaves as it is."""
    demand(isinstance(error.body, dict) and "message" in error.body, f"the body is {error.body!r}")
    return error.body["message"]


if __name__ == "__main__":
    main()
