"""A framework that is not installed is named, as pip knows it."""

from __future__ import annotations

import importlib
import re
import sys

import pytest


def hide(library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes it as if it were not installed."""
    for name in list(sys.modules):
        if name == library or name.startswith(f"{library}."):
            monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, library, None)


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
    hide(library, monkeypatch)
    monkeypatch.delitem(sys.modules, f"encoderfile.integrations.{module}", raising=False)
    with pytest.raises(ImportError, match=f"pip install {package} "):
        importlib.import_module(f"encoderfile.integrations.{module}")


@pytest.mark.parametrize(
    ("module", "library", "package"),
    [
        ("spark", "pyspark", "'pyspark>=4.1' pyarrow"),
        ("spark", "pyarrow", "'pyspark>=4.1' pyarrow"),
        ("ray", "ray", "'ray[data]'"),
    ],
)
def test_what_is_missing_of_an_engine_is_named(
    module: str, library: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    hide(library, monkeypatch)
    monkeypatch.delitem(sys.modules, f"encoderfile.{module}", raising=False)
    said = f"encoderfile.{module} needs the package {package}: pip install {package} "
    with pytest.raises(ImportError, match=re.escape(said)):
        importlib.import_module(f"encoderfile.{module}")
