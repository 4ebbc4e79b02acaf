"""The openai package against /v1: embeddings in each encoding, models, errors.

Like OpenAI's, the embeddings are one long, whatever the folder says.
"""

from openai import AuthenticationError, BadRequestError, OpenAI, UnprocessableEntityError

from cases import arguments, check, demand, equal, refused, same_bits, same_int8, says, unit


def main():
    server, model = arguments(__doc__)
    # No retries: a second answer must not hide the first.
    client = OpenAI(base_url=f"{server.http}/v1", api_key=server.api_key or "none is set", max_retries=0)
    models(client, model)
    if model.task == "sentence_embedding":
        embeddings(client, model)
        dimensions(client, model)
        numbers(client, model)
        token_ids(client, model)
        mistakes(client, model)
    else:
        other_task(client, model)
    if server.api_key:
        wrong_key(client, model)


def models(client, model):
    with check("models.list"):
        listed = client.models.list()
        equal([it.id for it in listed.data], [model.name])
        equal([it.object for it in listed.data], ["model"])


def embeddings(client, model):
    texts = [case["text"] for case in model.cases]
    expected = [unit(case["embedding"]) for case in model.cases]
    with check("embeddings.create, base64 by default"):
        response = client.embeddings.create(model=model.name, input=texts)
        equal(response.object, "list")
        equal(response.model, model.name)
        equal([it.index for it in response.data], list(range(len(texts))))
        model.same_embeddings((it.embedding for it in response.data), expected)
    with check("embeddings.create, usage"):
        tokens = sum(map(model.tokens_read, model.cases))
        equal(response.usage.prompt_tokens, tokens)
        equal(response.usage.total_tokens, tokens)
    with check("embeddings.create, float"):
        response = client.embeddings.create(model=model.name, input=texts, encoding_format="float")
        model.same_embeddings((it.embedding for it in response.data), expected)
    with check("embeddings.create, base64 asked for"):
        response = client.embeddings.create(model=model.name, input=texts[:1], encoding_format="base64")
        # Asked for by name, the client hands it over as it came.
        demand(isinstance(response.data[0].embedding, str), "not base64")
    with check("embeddings.create, one text and a user"):
        response = client.embeddings.create(model=model.name, input=texts[0], user="somebody")
        model.same_embeddings([it.embedding for it in response.data], expected[:1])


def dimensions(client, model):
    with check("embeddings.create, dimensions"):
        case = model.cases[0]
        half = len(case["embedding"]) // 2
        response = client.embeddings.create(model=model.name, input=case["text"], dimensions=half)
        model.same_embedding(response.data[0].embedding, unit(case["embedding"][:half]))


def numbers(client, model):
    """Fewer bits by Voyage's `output_dtype` and Jina's `embedding_type`."""
    case = model.cases[0]
    expected = unit(case["embedding"])

    def embed(**numbers):
        response = client.embeddings.create(
            model=model.name, input=case["text"], encoding_format="float", extra_body=numbers
        )
        return response.data[0]

    with check("embeddings.create, int8 and uint8"):
        int8, uint8 = embed(output_dtype="int8"), embed(output_dtype="uint8")
        same_int8(int8.embedding, int8.scale, expected)
        equal([it - 128 for it in uint8.embedding], int8.embedding)
    with check("embeddings.create, bits"):
        # The client has all numbers as floats.
        bits = [int(it) for it in embed(output_dtype="ubinary").embedding]
        same_bits(bits, expected)
        equal(embed(output_dtype="binary").embedding, [it - 128 for it in bits])
        equal(embed(embedding_type="ubinary").embedding, bits)
    with check("embeddings.create, an unknown dtype is refused"):
        with refused(UnprocessableEntityError) as caught:
            embed(output_dtype="int4")
        well_formed(caught[0])
        says(caught[0].message, "output_dtype", "ubinary")


def token_ids(client, model):
    cases = [case for case in model.cases if case["tokens"] == model.tokens_read(case)]
    expected = [unit(case["embedding"]) for case in cases]
    with check("embeddings.create, token ids"):
        ids = [model.token_ids(case["text"]) for case in cases]
        response = client.embeddings.create(model=model.name, input=ids[0])
        model.same_embeddings((it.embedding for it in response.data), expected[:1])
        equal(response.usage.prompt_tokens, len(ids[0]))
    with check("embeddings.create, lists of token ids"):
        response = client.embeddings.create(model=model.name, input=ids)
        model.same_embeddings((it.embedding for it in response.data), expected)
    with check("embeddings.create, token ids without special tokens"):
        response = client.embeddings.create(model=model.name, input=ids[0][1:-1])
        model.same_embeddings((it.embedding for it in response.data), expected[:1])


def mistakes(client, model):
    with check("no input is a BadRequestError"):
        with refused(BadRequestError) as caught:
            client.embeddings.create(model=model.name, input=[])
        well_formed(caught[0])
        says(caught[0].message, "input")
    with check("too many dimensions are refused"):
        with refused(BadRequestError, UnprocessableEntityError) as caught:
            client.embeddings.create(model=model.name, input="text", dimensions=1_000_000)
        well_formed(caught[0])
        says(caught[0].message, "dimensions")
    with check("a token id that is not in the vocabulary is refused"):
        with refused(BadRequestError, UnprocessableEntityError) as caught:
            client.embeddings.create(model=model.name, input=[[2_000_000_000]])
        well_formed(caught[0])


def other_task(client, model):
    with check(f"embeddings.create of a {model.task} model is an UnprocessableEntityError"):
        with refused(UnprocessableEntityError) as caught:
            client.embeddings.create(model=model.name, input=model.cases[0]["text"])
        well_formed(caught[0])
        says(caught[0].message, model.task)


def wrong_key(client, model):
    with check("a wrong key is an AuthenticationError"):
        with refused(AuthenticationError) as caught:
            client.with_options(api_key="wrong").embeddings.create(model=model.name, input="text")
        well_formed(caught[0])


def well_formed(error):
    """`{"error": {"message", "type", "param", "code"}}`, of which the client keeps the inside."""
    demand(isinstance(error.body, dict), f"the body is {error.body!r}")
    equal(sorted(error.body), ["code", "message", "param", "type"])
    demand(error.body["message"] and error.type, f"nothing said: {error.body!r}")


if __name__ == "__main__":
    main()
