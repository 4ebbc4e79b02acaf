"""The ollama package against /api: embed, the older embeddings, list, errors."""

import ollama

from cases import arguments, check, demand, equal, near, refused, says, unit


def main():
    server, model = arguments(__doc__)
    headers = {"Authorization": f"Bearer {server.api_key}"} if server.api_key else {}
    client = ollama.Client(host=server.http, headers=headers)
    listed(client, model)
    if model.task == "sentence_embedding":
        embed(client, model)
        embeddings(client, model)
        mistakes(client, model)
    else:
        other_task(client, model)
    if server.api_key:
        wrong_key(server, model)


def listed(client, model):
    with check("list"):
        (only,) = client.list().models
        # Ollama itself adds a tag to names without one.
        equal(only.model.removesuffix(":latest"), model.name)
        demand(only.size > 0 and only.digest and only.modified_at, f"something is missing: {only!r}")


def embed(client, model):
    texts = [case["text"] for case in model.cases]
    expected = [unit(case["embedding"]) for case in model.cases]
    with check("embed"):
        response = client.embed(model=model.name, input=texts)
        equal(response.model, model.name)
        model.same_embeddings(response.embeddings, expected)
    with check("embed, counts and durations"):
        equal(response.prompt_eval_count, sum(map(model.tokens_read, model.cases)))
        demand(response.total_duration > 0 and response.load_duration >= 0, f"{response!r}")
    with check("embed, one text and every option"):
        response = client.embed(
            model=model.name, input=texts[0], truncate=True, keep_alive="5m", options={"num_ctx": 256}
        )
        model.same_embeddings(response.embeddings, expected[:1])
    with check("embed, dimensions"):
        half = len(expected[0]) // 2
        response = client.embed(model=model.name, input=texts[0], dimensions=half)
        model.same_embeddings(response.embeddings, [unit(expected[0][:half])])
    with check("embed, the name as list has it"):
        response = client.embed(model=client.list().models[0].model, input=texts[0])
        model.same_embeddings(response.embeddings, expected[:1])


def embeddings(client, model):
    case = model.cases[0]
    with check("embeddings"):
        got = client.embeddings(model=model.name, prompt=case["text"]).embedding
        model.same_embedding(unit(got), unit(case["embedding"]))
        if not model.normalizes():
            near(got, case["embedding"])


def mistakes(client, model):
    long = [case for case in model.cases if case["tokens"] > model.tokens_read(case)]
    with check("embed, truncate=False refuses a long text" if long else "embed, truncate=False"):
        if long:
            with refused(ollama.ResponseError) as caught:
                client.embed(model=model.name, input=long[0]["text"], truncate=False)
            demand(caught[0].status_code in (400, 422), f"status {caught[0].status_code}")
            says(caught[0].error, str(long[0]["tokens"]))
        else:
            case = model.cases[0]
            response = client.embed(model=model.name, input=case["text"], truncate=False)
            model.same_embeddings(response.embeddings, [unit(case["embedding"])])


def other_task(client, model):
    with check(f"embed with a {model.task} model is refused"):
        with refused(ollama.ResponseError) as caught:
            client.embed(model=model.name, input="text")
        equal(caught[0].status_code, 422)
        says(caught[0].error, model.task)


def wrong_key(server, model):
    with check("a wrong key is refused"):
        client = ollama.Client(host=server.http, headers={"Authorization": "Bearer wrong"})
        with refused(ollama.ResponseError) as caught:
            client.embed(model=model.name, input="text")
        equal(caught[0].status_code, 401)


if __name__ == "__main__":
    main()
