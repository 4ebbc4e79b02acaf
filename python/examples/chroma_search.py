"""Passages in a collection of Chroma: ``python chroma_search.py``."""

import chromadb
from chromadb.config import Settings
from passages import FOUND, embedded

search = embedded()
client = chromadb.EphemeralClient(Settings(anonymized_telemetry=False))
collection = client.create_collection("passages", metadata={"hnsw:space": "cosine"})
with search.timed("fill the collection"):
    # As many as it takes at once.
    step = client.get_max_batch_size()
    for begin in range(0, len(search.texts), step):
        rows = slice(begin, begin + step)
        collection.add(
            ids=[str(number) for number in range(len(search.texts))[rows]],
            documents=search.texts[rows],
            embeddings=search.documents[rows],
        )
with search.timed("query"):
    answer = collection.query(query_embeddings=search.queries, n_results=FOUND, include=[])
search.report("Chroma", [[int(name) for name in names] for names in answer["ids"]])
