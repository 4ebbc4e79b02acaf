"""langchain-openai against /v1/embeddings: documents and queries, in one piece and in chunks.

`check_embedding_ctx_length=False` is what LangChain's documentation says to set
for servers other than OpenAI: with it on, the texts are first turned into the
token ids of an OpenAI model, whose vocabulary comes from the network.
"""

import asyncio

from langchain_openai import OpenAIEmbeddings

from cases import arguments, check, unit


def main():
    server, model = arguments(__doc__)
    texts = [case["text"] for case in model.cases]
    expected = [unit(case["embedding"]) for case in model.cases]
    embeddings = client(server, model)
    with check("embed_documents"):
        model.same_embeddings(embeddings.embed_documents(texts), expected)
    with check("embed_documents, in chunks"):
        model.same_embeddings(embeddings.embed_documents(texts, chunk_size=2), expected)
    with check("embed_query"):
        model.same_embedding(embeddings.embed_query(texts[0]), expected[0])
    with check("aembed_query"):
        model.same_embedding(asyncio.run(client(server, model).aembed_query(texts[0])), expected[0])
    with check("dimensions"):
        half = len(expected[0]) // 2
        got = client(server, model, dimensions=half).embed_query(texts[0])
        model.same_embedding(got, unit(expected[0][:half]))


def client(server, model, **options):
    return OpenAIEmbeddings(
        model=model.name,
        base_url=f"{server.http}/v1",
        api_key=server.api_key or "none is set",
        check_embedding_ctx_length=False,
        max_retries=0,
        **options,
    )


if __name__ == "__main__":
    main()
