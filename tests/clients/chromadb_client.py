"""chromadb's embedding functions over HTTP: TEI's /embed, OpenAI's and Ollama's."""

import os

from chromadb.utils.embedding_functions import (
    HuggingFaceEmbeddingServer,
    OllamaEmbeddingFunction,
    OpenAIEmbeddingFunction,
)

from cases import arguments, check, unit


def main():
    server, model = arguments(__doc__)
    # An empty document is none.
    cases = [case for case in model.cases if case["text"]]
    texts, expected = [case["text"] for case in cases], [unit(case["embedding"]) for case in cases]
    os.environ["KEY"] = server.api_key or "none is set"
    with check("HuggingFaceEmbeddingServer"):
        embed = HuggingFaceEmbeddingServer(url=f"{server.http}/embed", api_key_env_var="KEY")
        model.same_embeddings(embed(texts), expected)
    with check("OpenAIEmbeddingFunction"):
        embed = OpenAIEmbeddingFunction(model_name=model.name, api_base=f"{server.http}/v1", api_key_env_var="KEY")
        model.same_embeddings(embed(texts), expected)
    with check("OpenAIEmbeddingFunction, dimensions"):
        half = len(expected[0]) // 2
        # It passes them on for OpenAI's names alone.
        embed = OpenAIEmbeddingFunction(
            model_name="text-embedding-3-small", api_base=f"{server.http}/v1", api_key_env_var="KEY", dimensions=half
        )
        model.same_embeddings(embed(texts), [unit(it[:half]) for it in expected])
    # It sends no key.
    if not server.api_key:
        with check("OllamaEmbeddingFunction"):
            embed = OllamaEmbeddingFunction(url=server.http, model_name=model.name)
            model.same_embeddings(embed(texts), expected)


if __name__ == "__main__":
    main()
