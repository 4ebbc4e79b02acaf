"""litellm against four dialects: embeddings of OpenAI's, Ollama's and TEI's, and reranking of
Cohere's, Jina's and TEI's."""

import os

# Its list of prices comes from the network otherwise.
os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"

import litellm  # noqa: E402

from cases import arguments, check, equal, near, refused, unit  # noqa: E402


def main():
    server, model = arguments(__doc__)
    if model.task == "sentence_embedding":
        embedding(server, model)
    else:
        rerank(server, model)


def embedding(server, model):
    texts = [case["text"] for case in model.cases if case["text"]]
    expected = [unit(case["embedding"]) for case in model.cases if case["text"]]
    key = server.api_key or "none is set"
    dialects = {
        "openai": {"api_base": f"{server.http}/v1", "encoding_format": "float"},
        # What it takes for the task, else it would ask the hub.
        "huggingface": {"api_base": f"{server.http}/embed", "input_type": "embed"},
    }
    if not server.api_key:
        dialects["ollama"] = {"api_base": server.http}
    for name, options in dialects.items():
        with check(f"embedding, {name}"):
            response = litellm.embedding(model=f"{name}/{model.name}", input=texts, api_key=key, **options)
            model.same_embeddings([it["embedding"] for it in response.data], expected)
    with check("embedding, dimensions"):
        half = len(expected[0]) // 2
        options = {"dimensions": half, "allowed_openai_params": ["dimensions"], **dialects["openai"]}
        response = litellm.embedding(model=f"openai/{model.name}", input=texts, api_key=key, **options)
        model.same_embeddings([it["embedding"] for it in response.data], [unit(it[:half]) for it in expected])
    if server.api_key:
        with check("a wrong key is an AuthenticationError"):
            with refused(litellm.AuthenticationError):
                litellm.embedding(model=f"openai/{model.name}", input=texts, api_key="wrong", **dialects["openai"])


def rerank(server, model):
    query, texts, expected = model.ranking()
    dialects = {
        "cohere": f"{server.http}/v2/rerank",
        "jina_ai": f"{server.http}/v1/rerank",
        "huggingface": f"{server.http}/rerank",
    }
    for name, address in dialects.items():
        with check(f"rerank, {name}"):
            response = litellm.rerank(
                model=f"{name}/{model.name}", query=query, documents=texts, api_base=address, api_key="none is set",
            )
            equal([it["index"] for it in response.results], [it["index"] for it in expected])
            near([it["relevance_score"] for it in response.results], [it["score"] for it in expected])


if __name__ == "__main__":
    main()
