"""langchain-huggingface against POST /: embed_documents and embed_query.

Its releases take the address of a server from whoever makes its client: a model by an
address is refused, so the client of huggingface_hub is handed to it.
"""

import asyncio

from huggingface_hub import AsyncInferenceClient, InferenceClient
from langchain_huggingface import HuggingFaceEndpointEmbeddings

from cases import arguments, check, unit


def main():
    server, model = arguments(__doc__)
    # Texts are sent with spaces instead of line breaks.
    cases = [case for case in model.cases if "\n" not in case["text"]]
    texts, expected = [case["text"] for case in cases], [unit(case["embedding"]) for case in cases]
    token = server.api_key or "none is set"
    embeddings = HuggingFaceEndpointEmbeddings(model="served/here", huggingfacehub_api_token=token)
    embeddings.client = InferenceClient(base_url=server.http, token=token)
    embeddings.async_client = AsyncInferenceClient(base_url=server.http, token=token)
    with check("embed_documents"):
        model.same_embeddings(embeddings.embed_documents(texts), expected)
    with check("embed_query"):
        model.same_embedding(embeddings.embed_query(texts[0]), expected[0])
    with check("aembed_documents"):
        model.same_embeddings(asyncio.run(embeddings.aembed_documents(texts)), expected)
    with check("model_kwargs"):
        embeddings.model_kwargs = {"truncate": True, "normalize": True}
        model.same_embeddings(embeddings.embed_documents(texts), expected)


if __name__ == "__main__":
    main()
