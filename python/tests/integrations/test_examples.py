"""The examples of vector stores, as programs, over some of the passages."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import ROOT

FOLDER = ROOT / "python" / "examples"
#: Packages of PyPI by what is imported, and the least recall: of those that round vectors it is
#: lower.
STORES = {
    "chroma": ("chromadb", "chromadb", 0.98),
    "faiss": ("faiss", "faiss-cpu", 0.98),
    "lancedb": ("lancedb", "lancedb", 0.9),
    "qdrant": ("qdrant_client", "qdrant-client", 0.98),
    "usearch": ("usearch", "usearch", 0.98),
}


def run(store: str, *arguments: str) -> str:
    command = [sys.executable, FOLDER / f"{store}_search.py", *arguments]
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    ended = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False, timeout=600
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


@pytest.mark.parametrize("store", STORES)
def test_nearest_passages_are_found(store: str, model_path: str) -> None:
    library, package, recall = STORES[store]
    pytest.importorskip(library, reason=f"{package} is not installed")
    printed = run(store, "--rows", "300", "--model", model_path)
    assert printed.startswith("300 passages, 60 queries, ")
    assert float(re.findall(r"^recall@10: ([\d.]+)$", printed, re.M)[0]) >= recall
    times = re.findall(r"^([a-z ]+): [\d.]+ s$", printed, re.M)
    assert times[:2] == ["embed the passages", "embed the queries"] and times[-1] == "query"


def test_passages_of_a_file(tmp_path: Path) -> None:
    pytest.importorskip("usearch", reason="usearch is not installed")
    texts = tmp_path / "texts.txt"
    texts.write_text("\n".join(f"Letter {n} is about {n % 7} cats." for n in range(50)))
    printed = run("usearch", "--texts", str(texts))
    assert printed.startswith("50 passages, 10 queries, USearch\n")


def test_every_store_has_its_example() -> None:
    assert {it.stem for it in FOLDER.glob("*_search.py")} == {f"{name}_search" for name in STORES}
