"""The official MCP client, over stdio (`PROGRAM mcp`) and streamable HTTP (`/mcp`).

Each transport is spoken as the client prefers it and in the older form with an
`initialize` handshake. What is asked: the tool of the model's task with a
description of each argument, its results, and errors that help whoever calls.
"""

import asyncio
import json
from contextlib import AsyncExitStack
from functools import partial

import httpx2
from mcp import Client
from mcp.client.stdio import StdioServerParameters
from mcp.client.streamable_http import streamable_http_client

from cases import arguments, check, cosine, demand, equal, near, refused

MODES = ("auto", "legacy")


def main():
    server, model = arguments(__doc__)
    demand(server.program or server.http, "neither --program nor --http")
    asyncio.run(every_transport(server, model))


async def every_transport(server, model):
    for mode in MODES:
        if server.program:
            stdio = StdioServerParameters(command=server.program, args=["mcp"])
            await converse(Client(stdio, mode=mode), f"stdio, {mode}", model)
        if server.http:
            async with AsyncExitStack() as stack:
                await converse(Client(await endpoint(server, stack), mode=mode), f"http, {mode}", model)
    if server.http and server.api_key:
        await without_key(server)


async def endpoint(server, stack):
    """The URL; with a key, a transport whose requests carry it."""
    url = f"{server.http}/mcp"
    if not server.api_key:
        return url
    headers = {"Authorization": f"Bearer {server.api_key}"}
    return streamable_http_client(url, http_client=await stack.enter_async_context(httpx2.AsyncClient(headers=headers)))


async def without_key(server):
    """The client does not tell the status, so it is taken from its HTTP client."""
    statuses = []

    async def note(response):
        statuses.append(response.status_code)

    with check("http: without the key, 401"):
        async with httpx2.AsyncClient(event_hooks={"response": [note]}) as http:
            with refused(Exception):
                async with Client(streamable_http_client(f"{server.http}/mcp", http_client=http)):
                    pass
        equal(set(statuses), {401})


async def converse(client, transport, model):
    with check(f"{transport}: connect"):
        await client.__aenter__()
    try:
        await tools(client, transport, model)
        for tool, given, same in calls(model):
            with check(f"{transport}: {tool}"):
                same(answer(await client.call_tool(tool, given)))
        await mistakes(client, transport, model)
    finally:
        await client.__aexit__(None, None, None)


async def tools(client, transport, model):
    with check(f"{transport}: the server says what it is"):
        demand(client.server_info and client.server_info.name and client.server_info.version, "no name or version")
    with check(f"{transport}: list_tools"):
        listed = {tool.name: tool for tool in (await client.list_tools()).tools}
        for name, given, _ in calls(model):
            demand(name in listed, f"{name} is not in {sorted(listed)}")
            described(listed[name], given)


def described(tool, given):
    """Someone who has only the description must be able to call it."""
    demand(tool.description, f"{tool.name} has no description")
    properties = tool.input_schema.get("properties", {})
    for argument in given:
        demand(argument in properties, f"{tool.name} has no argument {argument}, but {sorted(properties)}")
    for name, schema in properties.items():
        demand(schema.get("description"), f"{tool.name}: {name} has no description")


def calls(model):
    """(tool, arguments, comparison with the reference) for the model's task."""
    texts = [case["text"] for case in model.cases]
    if model.task == "sentence_embedding":
        yield "embed", {"texts": texts}, lambda got: same_embeddings(model, got)
        yield "similarity", {"source": texts[0], "texts": texts[1:]}, lambda got: same_similarities(model, got)
    elif model.task == "sparse_embedding":
        _, _, inputs, results = next(model.requests())
        yield "embed_sparse", {"texts": inputs}, lambda got: same_weights(got, results)
    elif model.task == "fill_mask":
        _, _, inputs, results = next(model.requests())
        yield "fill_mask", {"text": inputs[0]}, lambda got: same_words(got, results[0])
    elif model.task == "token_classification":
        known = [case for case in model.cases if "pipeline" in case]
        yield "extract_entities", {"texts": [it["text"] for it in known]}, lambda got: same_entities(known, got)
    elif model.reranks():
        query, documents, ranking = model.ranking()
        yield "rerank", {"query": query, "texts": documents}, lambda got: same_ranking(got, documents, ranking)
        yield "rerank", {"query": query, "texts": documents, "top_k": 2}, lambda got: same_ranking(
            got, documents, ranking[:2]
        )
    elif model.chooses_labels():
        for _, options, documents, results in model.requests("labels", "multi_label"):
            yield "classify", {"texts": documents} | options, partial(same_labels, results=results)
    else:
        demand(model.task == "sequence_classification", f"no tool is known for {model.task}")
        yield "classify", {"texts": texts}, lambda got: same_classes(model, got)


def answer(result):
    """What a program reads must also be in the text that a language model reads."""
    demand(not result.is_error, f"an error: {text_of(result)}")
    equal(json.loads(text_of(result)), result.structured_content)
    return result.structured_content


def text_of(result):
    return "".join(block.text for block in result.content if block.type == "text")


def same_embeddings(model, got):
    model.same_embeddings(got["embeddings"], [case["embedding"] for case in model.cases])
    demand(got["embedding_space_id"], "no embedding_space_id")


def same_similarities(model, got):
    """Most alike first."""
    source, *others = model.cases
    results = got["results"]
    equal(sorted(it["index"] for it in results), list(range(len(others))))
    equal([it["text"] for it in results], [others[it["index"]]["text"] for it in results])
    scores = [it["score"] for it in results]
    equal(scores, sorted(scores, reverse=True))
    model.same_similarities(scores, [cosine(source["embedding"], others[it["index"]]["embedding"]) for it in results])


def same_weights(got, expected):
    equal(len(got["results"]), len(expected))
    for result, reference in zip(got["results"], expected):
        weights, others = result["sparse_embedding"], reference["sparse_embedding"]
        equal([it["index"] for it in weights], [it["index"] for it in others])
        near([it["value"] for it in weights], [it["value"] for it in others])


def same_words(got, expected):
    (result,) = got["results"]
    equal(len(result["masks"]), len(expected["masks"]))
    for words, others in zip(result["masks"], expected["masks"]):
        equal([it["token"] for it in words], [it["token"] for it in others])
        near([it["score"] for it in words], [it["score"] for it in others])


def same_entities(cases, got):
    """Spelt as the text spells them, which the reference does not."""
    equal(len(got["results"]), len(cases))
    for found, case in zip(got["results"], cases):
        expected = case["pipeline"]["simple"]
        equal([it["label"] for it in found], [it["entity_group"] for it in expected])
        equal([(it["start"], it["end"]) for it in found], [(it["start"], it["end"]) for it in expected])
        equal([it["text"] for it in found], [case["text"][it["start"]:it["end"]] for it in expected])
        near([it["score"] for it in found], [it["score"] for it in expected])


def same_ranking(got, documents, ranking):
    equal([it["index"] for it in got["results"]], [it["index"] for it in ranking])
    equal([it["text"] for it in got["results"]], [documents[it["index"]] for it in ranking])
    near([it["score"] for it in got["results"]], [it["score"] for it in ranking])


def same_labels(got, results):
    equal([[it["label"] for it in classes] for classes in got["results"]], [it["labels"] for it in results])
    for classes, expected in zip(got["results"], results):
        near([it["score"] for it in classes], expected["scores"])


def same_classes(model, got):
    equal(len(got["results"]), len(model.cases))
    for classes, case in zip(got["results"], model.cases):
        expected = model.best_first(case)
        equal([it["label"] for it in classes], [it["label"] for it in expected])
        near([it["score"] for it in classes], [it["score"] for it in expected])


async def mistakes(client, transport, model):
    tool, given, _ = next(calls(model))
    texts = "texts" if "texts" in given else "text"
    for name, wrong, *words in (
        ("no arguments", {}, *given),
        ("a number for the texts", given | {texts: 7}, texts),
        ("no texts", given | {texts: []}, texts),
        ("an argument it does not have", given | {"colour": "red"}, "colour"),
    ):
        with check(f"{transport}: {tool} with {name} is an error that says so"):
            result = await client.call_tool(tool, wrong)
            demand(result.is_error, f"was accepted: {text_of(result)[:200]}")
            said = text_of(result)
            demand(any(word in said for word in words), f"{said!r} names none of {words}")


if __name__ == "__main__":
    main()
