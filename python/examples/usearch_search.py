"""Passages in an index of USearch, in half precision: ``python usearch_search.py``."""

import numpy as np
from passages import FOUND, embedded
from usearch.index import Index

search = embedded()
with search.timed("fill the index"):
    index = Index(ndim=search.documents.shape[1], metric="ip", dtype="f16")
    index.add(np.arange(len(search.documents)), search.documents)
with search.timed("query"):
    found = index.search(search.queries, FOUND).keys
search.report("USearch", found)
