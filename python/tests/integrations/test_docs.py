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

BLOCKS = [
    block
    for page in ["python-integrations.md", "scale.md"]
    for block in re.findall(
        r"^```python\n(.*?)^```$",
        (ROOT / "docs" / page).read_text(encoding="utf-8"),
        re.MULTILINE | re.DOTALL,
    )
]
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
    "pyspark": "pyspark",
    "ray": "ray[data]",
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
    "ray": "ray",
    "spark": "pyspark",
}
#: What is begun before: the examples take it for the one that they ask for.
ENGINES = {"pyspark": "spark", "ray": "ray_folder"}


def library_of(block: str) -> str | None:
    imported = re.findall(r"^(?:from|import) ([\w.]+)", block, re.MULTILINE)
    return next((it for it in LIBRARIES for name in imported if name.startswith(it)), None)


def need(library: str | None, request: pytest.FixtureRequest) -> None:
    if library is not None:
        pytest.importorskip(library, reason=f"{LIBRARIES[library]} is not installed")
    if library in ENGINES:
        request.getfixturevalue(ENGINES[library])


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, build: Callable[[str], str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A working directory with the files that the examples open."""
    copyfile(build("cls-pair-rerank"), tmp_path / "reranker.encoderfile")
    copyfile(build("distilbert-token_classification"), tmp_path / "ner.encoderfile")
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    "block", [pytest.param(it, id=f"{n}-{library_of(it)}") for n, it in enumerate(BLOCKS)]
)
def test_the_page(block: str, request: pytest.FixtureRequest) -> None:
    need(library_of(block), request)
    code = compile(block, "docs", "exec", dont_inherit=True)
    exec(code, {"__name__": "docs"})


@pytest.mark.parametrize("name", DOCSTRINGS)
def test_the_docstring(name: str, request: pytest.FixtureRequest) -> None:
    need(DOCSTRINGS[name], request)
    results = doctest.testmod(importlib.import_module(f"encoderfile.{name}"))
    assert results.attempted > 0 and results.failed == 0


def test_every_library_has_an_example() -> None:
    assert {library_of(block) for block in BLOCKS} - {None} == set(LIBRARIES)
