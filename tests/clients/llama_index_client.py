"""llama-index against TEI's /embed and /rerank and OpenAI's /v1/embeddings."""

import asyncio

from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode
from llama_index.embeddings.openai_like import OpenAILikeEmbedding
from llama_index.embeddings.text_embeddings_inference import TextEmbeddingsInference
from llama_index.postprocessor.tei_rerank import TextEmbeddingInference as TeiRerank

from cases import arguments, check, equal, near, unit


def main():
    server, model = arguments(__doc__)
    if model.task == "sentence_embedding":
        tei(server, model)
        openai_like(server, model)
    else:
        rerank(server, model)


def tei(server, model):
    texts, expected = normalized(model)
    # An instruction is put in front of the text with a space between: none, then.
    client = TextEmbeddingsInference(
        model_name=model.name, base_url=server.http, auth_token=server.api_key, embed_batch_size=2,
        text_instruction="", query_instruction="",
    )
    with check("TextEmbeddingsInference, batches of two"):
        model.same_embeddings(client.get_text_embedding_batch(texts), expected)
    with check("TextEmbeddingsInference, a query"):
        model.same_embedding(client.get_query_embedding(texts[0]), expected[0])
    with check("TextEmbeddingsInference, asynchronously"):
        model.same_embeddings(asyncio.run(client.aget_text_embedding_batch(texts)), expected)


def openai_like(server, model):
    texts, expected = normalized(model)
    # OpenAI's API does not know empty texts, nor line breaks.
    client = OpenAILikeEmbedding(
        model_name=model.name, api_base=f"{server.http}/v1", api_key=server.api_key or "none is set",
        embed_batch_size=2, max_retries=0,
    )
    with check("OpenAILikeEmbedding, batches of two"):
        model.same_embeddings(client.get_text_embedding_batch(texts), expected)
    with check("OpenAILikeEmbedding, a query"):
        model.same_embedding(client.get_query_embedding(texts[0]), expected[0])
    with check("OpenAILikeEmbedding, dimensions"):
        half = len(expected[0]) // 2
        client = OpenAILikeEmbedding(
            model_name=model.name, api_base=f"{server.http}/v1", api_key=server.api_key or "none is set",
            dimensions=half,
        )
        model.same_embedding(client.get_text_embedding(texts[0]), unit(expected[0][:half]))


def normalized(model):
    """Texts that neither client changes, and their vectors."""
    cases = [case for case in model.cases if case["text"] and case["text"] == " ".join(case["text"].split())]
    return [case["text"] for case in cases], [unit(case["embedding"]) for case in cases]


def rerank(server, model):
    query, texts, expected = model.ranking()
    token = f"Bearer {server.api_key}" if server.api_key else None
    client = TeiRerank(base_url=server.http, top_n=len(texts), auth_token=token)
    nodes = [NodeWithScore(node=TextNode(text=text, id_=str(index))) for index, text in enumerate(texts)]
    with check("TEI rerank"):
        ranked = client.postprocess_nodes(nodes, QueryBundle(query))
        equal([int(it.node.node_id) for it in ranked], [it["index"] for it in expected])
        near([it.score for it in ranked], [it["score"] for it in expected])


if __name__ == "__main__":
    main()
