"""Passages in a table of LanceDB with an HNSW index: ``python lancedb_search.py``."""

import tempfile

import lancedb
import pyarrow as pa
from lancedb.index import HnswSq
from passages import FOUND, embedded

search = embedded()
width = search.documents.shape[1]
with tempfile.TemporaryDirectory() as folder:
    with search.timed("fill the table"):
        vectors = pa.FixedSizeListArray.from_arrays(search.documents.reshape(-1), width)
        columns = {"id": range(len(search.texts)), "text": search.texts, "vector": vectors}
        table = lancedb.connect(folder).create_table("passages", pa.table(columns))
    with search.timed("index the table"):
        settings = HnswSq(distance_type="cosine", num_partitions=1)
        table.create_index("vector", config=settings)
    with search.timed("query"):
        wanted = ["id", "_distance"]
        answers = [
            table.search(query).distance_type("cosine").limit(FOUND).select(wanted).to_arrow()
            for query in search.queries
        ]
search.report("LanceDB", [answer.column("id").to_pylist() for answer in answers])
