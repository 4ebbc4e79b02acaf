"""Passages in Qdrant, in this process and without a server: ``python qdrant_search.py``.

With ``QdrantClient("http://localhost:6333")`` the same goes to a server.
"""

from passages import FOUND, embedded
from qdrant_client import QdrantClient
from qdrant_client.models import Distance, PointStruct, VectorParams

search = embedded()
client = QdrantClient(":memory:")
with search.timed("fill the collection"):
    parameters = VectorParams(size=search.documents.shape[1], distance=Distance.COSINE)
    client.create_collection("passages", parameters)
    points = enumerate(zip(search.documents.tolist(), search.texts, strict=True))
    client.upload_points(
        "passages",
        (
            PointStruct(id=number, vector=vector, payload={"text": text})
            for number, (vector, text) in points
        ),
    )
with search.timed("query"):
    answers = [
        client.query_points("passages", query=query, limit=FOUND).points
        for query in search.queries.tolist()
    ]
search.report("Qdrant", [[point.id for point in answer] for answer in answers])
