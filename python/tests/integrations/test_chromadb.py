"""A collection of Chroma, opened again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

chromadb = pytest.importorskip("chromadb", reason="chromadb is not installed")

from chromadb.config import Settings

from encoderfile import Encoderfile
from encoderfile.integrations.chromadb import EncoderfileEmbeddingFunction

TEXTS = ["Reset your password here.", "Our office is in Berlin.", "We are closed on Sunday."]


def test_a_collection_finds_the_nearest_and_its_function_again(
    model_path: str, model: Encoderfile, tmp_path: Path
) -> None:
    settings = Settings(anonymized_telemetry=False)
    client = chromadb.PersistentClient(str(tmp_path), settings)
    function = EncoderfileEmbeddingFunction(model_path, dimensions=64)
    collection = client.create_collection("letters", embedding_function=function)
    collection.add(ids=["0", "1", "2"], documents=TEXTS)
    again = client.get_collection("letters")
    found = again.query(query_texts=["I forgot my login"], include=["distances"])
    assert found["ids"][0][0] == "0"
    texts = ["I forgot my login", *TEXTS]
    vectors = model.encode(texts, dimensions=64)
    wanted = 1 - model.similarity(vectors[:1], vectors[1:])[0]
    assert np.allclose(found["distances"][0], np.sort(wanted), atol=1e-5)


def test_queries_and_documents_have_their_prompts(build: Callable[[str], str]) -> None:
    core = Encoderfile.load(build("st-roles"))
    function = EncoderfileEmbeddingFunction(core)
    assert np.allclose(function(TEXTS), core.encode(TEXTS, role="document"))
    assert np.allclose(function.embed_query(TEXTS), core.encode(TEXTS, role="query"))
    assert function.default_space() == "ip"
    config = function.get_config()
    assert config == {"model": build("st-roles"), "options": {}}
    again = EncoderfileEmbeddingFunction.build_from_config(config)
    assert np.allclose(again(TEXTS), function(TEXTS))
    with pytest.raises(ValueError, match="cannot be changed"):
        function.validate_config_update(config, {**config, "model": None})
