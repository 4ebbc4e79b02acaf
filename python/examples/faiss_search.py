"""Passages in an HNSW index of FAISS: ``python faiss_search.py``."""

import faiss
from passages import FOUND, embedded

search = embedded()
with search.timed("fill the index"):
    index = faiss.IndexHNSWFlat(search.documents.shape[1], 32, faiss.METRIC_INNER_PRODUCT)
    index.add(search.documents)
with search.timed("query"):
    _, found = index.search(search.queries, FOUND)
search.report("FAISS HNSW", found)
