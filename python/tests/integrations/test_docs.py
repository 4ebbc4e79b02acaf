"""What the documentation shows, and the docstrings, run as they stand."""

from __future__ import annotations

import doctest
import importlib
import re
from collections.abc import Callable
from pathlib import Path
from shutil import copyfile

import pytest

from .conftest import ROOT

BLOCKS = re.findall(
    r"^```python\n(.*?)^```$",
    (ROOT / "docs" / "python-integrations.md").read_text(encoding="utf-8"),
    re.MULTILINE | re.DOTALL,
)
#: Packages of PyPI by what is imported.
LIBRARIES = {
    "bertopic": "bertopic",
    "chromadb": "chromadb",
    "duckdb": "duckdb",
    "haystack": "haystack-ai",
    "keybert": "keybert",
    "lancedb": "lancedb",
    "langchain_core": "langchain-core",
    "llama_index.core": "llama-index-core",
    "mteb": "mteb",
    "spacy": "spacy",
}
DOCSTRINGS = {
    "sentence_transformers": None,
    "integrations.chromadb": "chromadb",
    "integrations.duckdb": "duckdb",
    "integrations.haystack": "haystack",
    "integrations.lancedb": "lancedb",
    "integrations.langchain": "langchain_core",
    "integrations.llama_index": "llama_index.core",
    "integrations.spacy": "spacy",
}


def library_of(block: str) -> str | None:
    imported = re.findall(r"^(?:from|import) ([\w.]+)", block, re.MULTILINE)
    return next((it for it in LIBRARIES for name in imported if name.startswith(it)), None)


def need(library: str | None) -> None:
    if library is not None:
        pytest.importorskip(library, reason=f"{LIBRARIES[library]} is not installed")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, build: Callable[[str], str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A working directory with the files that the examples open."""
    copyfile(build("cls-pair-rerank"), tmp_path / "reranker.encoderfile")
    copyfile(build("distilbert-token_classification"), tmp_path / "ner.encoderfile")
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    "block", [pytest.param(it, id=f"{n}-{library_of(it)}") for n, it in enumerate(BLOCKS)]
)
def test_the_page(block: str) -> None:
    need(library_of(block))
    code = compile(block, "python-integrations.md", "exec", dont_inherit=True)
    exec(code, {"__name__": "docs"})


@pytest.mark.parametrize("name", DOCSTRINGS)
def test_the_docstring(name: str) -> None:
    need(DOCSTRINGS[name])
    results = doctest.testmod(importlib.import_module(f"encoderfile.{name}"))
    assert results.attempted > 0 and results.failed == 0


def test_every_library_has_an_example() -> None:
    assert {library_of(block) for block in BLOCKS} - {None} == set(LIBRARIES)
