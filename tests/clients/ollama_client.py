"""The ollama package against /api: embed, the older embeddings, list, errors."""

import ollama

from cases import arguments, check, demand, equal, near, refused, says, unit


# The words that Ollama's own tests of its embeddings look for.
TOO_LONG = "the input length exceeds the context length"
NOTHING_LEFT = "input after truncation exceeds maximum context length"


def main():
    server, model = arguments(__doc__)
    headers = {"Authorization": f"Bearer {server.api_key}"} if server.api_key else {}
    client = ollama.Client(host=server.http, headers=headers)
    listed(client, model)
    shown(client, model)
    if model.task == "sentence_embedding":
        embed(client, model)
        embeddings(client, model)
        context(client, model)
        nothing(client, model)
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


def shown(client, model):
    with check("show"):
        shown = client.show(model.name)
        embeds = model.task == "sentence_embedding"
        equal(shown.capabilities, ["embedding"] if embeds else [])
        architecture = shown.modelinfo["general.architecture"]
        demand(shown.modelinfo[f"{architecture}.context_length"] > 0, f"no length in {shown.modelinfo}")
        if embeds:
            width = len(model.cases[0]["embedding"])
            equal(shown.modelinfo[f"{architecture}.embedding_length"], width)
    with check("ps"):
        (only,) = client.ps().models
        equal(only.model, model.name)
        demand(only.expires_at and only.size > 0 and only.size_vram == 0, f"something is wrong: {only!r}")


def embed(client, model):
    texts = [case["text"] for case in model.cases]
    expected = [unit(case["embedding"]) for case in model.cases]
    with check("embed"):
        response = client.embed(model=model.name, input=texts)
        equal(response.model, model.name)
        model.same_embeddings(response.embeddings, expected)
    with check("embed, counts and durations"):
        special = len(texts) * len(model.token_ids(""))
        equal(response.prompt_eval_count, sum(map(model.tokens_read, model.cases)) - special)
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
    with check("embed, dimensions beyond the vector's, and none"):
        for dimensions in (len(expected[0]), 100_000, 0, -1):
            response = client.embed(model=model.name, input=texts[0], dimensions=dimensions)
            model.same_embeddings(response.embeddings, expected[:1])
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


def context(client, model):
    """num_ctx, as Ollama's TestAllMiniLMEmbedTruncate and TestEmbedTruncation have it."""
    special = len(model.token_ids(""))
    (first, whole) = ("why", "why is the sky blue?")
    limit = len(model.token_ids(first))
    equal(model.token_ids(whole)[: limit - 1], model.token_ids(first)[: limit - 1])
    with check("num_ctx cuts, unless told not to"):
        wanted = client.embed(model=model.name, input=first)
        for truncate in (None, True):
            got = client.embed(model=model.name, input=whole, truncate=truncate, options={"num_ctx": limit})
            equal(got.embeddings, wanted.embeddings)
            equal(got.prompt_eval_count, limit - special)
        with refused(ollama.ResponseError) as caught:
            client.embed(model=model.name, input=whole, truncate=False, options={"num_ctx": limit})
        equal(caught[0].status_code, 400)
        says(caught[0].error, TOO_LONG, str(limit))
    with check("num_ctx that leaves nothing"):
        for limit in (special, 1, 0):
            with refused(ollama.ResponseError) as caught:
                client.embed(model=model.name, input=whole, truncate=True, options={"num_ctx": limit})
            equal(caught[0].status_code, 400)
            says(caught[0].error, NOTHING_LEFT)
    with check("num_ctx of a batch"):
        texts = ["short", "long " * 100, "medium text"]
        response = client.embed(model=model.name, input=texts, options={"num_ctx": 30})
        equal(len(response.embeddings), 3)
        demand(0 < response.prompt_eval_count <= 90, f"{response.prompt_eval_count} tokens")
        with refused(ollama.ResponseError) as caught:
            client.embed(model=model.name, input=texts, truncate=False, options={"num_ctx": 30})
        equal(caught[0].status_code, 400)
        says(caught[0].error, TOO_LONG, "text 2")
    with check("num_ctx beyond the model's is the model's"):
        got = client.embed(model=model.name, input=whole, options={"num_ctx": 100_000})
        equal(got.embeddings, client.embed(model=model.name, input=whole).embeddings)


def nothing(client, model):
    """Loads the model, which is loaded."""
    with check("embed of nothing"):
        for input in ("", []):
            response = client.embed(model=model.name, input=input)
            equal((list(response.embeddings), response.model), ([], model.name))
    with check("embed of an empty text among others"):
        equal(len(client.embed(model=model.name, input=["", "text"]).embeddings), 2)
    with check("embeddings of nothing"):
        equal(list(client.embeddings(model=model.name, prompt="").embedding), [])


def mistakes(client, model):
    long = [case for case in model.cases if case["tokens"] > model.tokens_read(case)]
    with check("embed, truncate=False refuses a long text" if long else "embed, truncate=False"):
        if long:
            with refused(ollama.ResponseError) as caught:
                client.embed(model=model.name, input=long[0]["text"], truncate=False)
            equal(caught[0].status_code, 400)
            says(caught[0].error, TOO_LONG, str(long[0]["tokens"]))
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
