"""The cohere package against /v2/rerank: order, scores, top_n, errors."""

import cohere

from cases import arguments, check, demand, equal, near, refused, says


def main():
    server, model = arguments(__doc__)
    if model.reranks():
        rerank(client(server), model)
        mistakes(client(server), model)
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
