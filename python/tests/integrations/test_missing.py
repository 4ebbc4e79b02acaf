"""A framework that is not installed is named, as pip knows it."""

from __future__ import annotations

import importlib
import sys

import pytest


@pytest.mark.parametrize(
    ("module", "library", "package"),
    [
        ("chromadb", "chromadb", "chromadb"),
        ("duckdb", "duckdb", "duckdb pyarrow"),
        ("duckdb", "pyarrow", "duckdb pyarrow"),
        ("haystack", "haystack", "haystack-ai"),
        ("lancedb", "lancedb", "lancedb"),
        ("langchain", "langchain_core", "langchain-core"),
        ("llama_index", "llama_index", "llama-index-core"),
        ("spacy", "spacy", "spacy"),
    ],
)
def test_what_is_missing_is_named(
    module: str, library: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in list(sys.modules):
        if name == library or name.startswith(f"{library}."):
            monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, library, None)
    monkeypatch.delitem(sys.modules, f"encoderfile.integrations.{module}", raising=False)
    with pytest.raises(ImportError, match=f"pip install {package} "):
        importlib.import_module(f"encoderfile.integrations.{module}")
