"""A table of LanceDB, opened again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

lancedb = pytest.importorskip("lancedb", reason="lancedb is not installed")

from lancedb.embeddings import get_registry
from lancedb.pydantic import LanceModel, Vector

from encoderfile import Encoderfile
from encoderfile.integrations.lancedb import EncoderfileEmbeddings

TEXTS = ["Reset your password here.", "Our office is in Berlin.", "We are closed on Sunday."]


def test_a_table_finds_the_nearest_also_when_it_is_opened_again(
    model_path: str, model: Encoderfile, tmp_path: Path
) -> None:
    function = get_registry().get("encoderfile").create(model=model_path)
    assert isinstance(function, EncoderfileEmbeddings) and function.ndims() == 384

    class Letter(LanceModel):
        text: str = function.SourceField()
        vector: Vector(function.ndims()) = function.VectorField()  # type: ignore[valid-type]

    lancedb.connect(tmp_path).create_table("letters", schema=Letter).add(
        [{"text": text} for text in TEXTS]
    )
    table = lancedb.connect(tmp_path).open_table("letters")
    found = table.search("I forgot my login").distance_type("cosine").limit(3).to_list()
    assert found[0]["text"] == TEXTS[0]
    assert np.allclose(found[0]["vector"], model.encode(TEXTS[0]), atol=1e-6)
    wanted = 1 - model.similarity(model.encode("I forgot my login"), model.encode(TEXTS))[0]
    assert np.allclose([it["_distance"] for it in found], np.sort(wanted), atol=1e-5)


def test_queries_and_documents_have_their_prompts(build: Callable[[str], str]) -> None:
    core = Encoderfile.load(build("st-roles"))
    create = get_registry().get("encoderfile").create
    function = create(model=build("st-roles"), options={"dimensions": 8})
    assert function.ndims() == 8
    documents = function.compute_source_embeddings(TEXTS)
    query = function.compute_query_embeddings(TEXTS[0])
    assert np.allclose(documents, core.encode(TEXTS, role="document", dimensions=8))
    assert np.allclose(query, core.encode(TEXTS[:1], role="query", dimensions=8))
    assert function.compute_source_embeddings(["A cat", None])[1] is None
