"""Functions of SQL, over tables."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

duckdb = pytest.importorskip("duckdb", reason="duckdb is not installed")
pytest.importorskip("pyarrow", reason="pyarrow is not installed")

from encoderfile import Encoderfile
from encoderfile.integrations.duckdb import register

TEXTS = ["Reset your password here.", "Our office is in Berlin.", "We are closed on Sunday."]


def connected(texts: list[str | None]) -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    connection.execute("CREATE TABLE letters (id INTEGER, text VARCHAR)")
    if texts:
        connection.executemany("INSERT INTO letters VALUES (?, ?)", list(enumerate(texts)))
    return connection


def test_embeddings_are_arrays_of_which_null_has_none(model: Encoderfile) -> None:
    connection = connected([*TEXTS, None])
    assert register(connection, model) == ["embed", "embed_query"]
    rows = connection.sql("SELECT embed(text) FROM letters ORDER BY id").fetchall()
    assert rows[3] == (None,)
    assert np.allclose([row[0] for row in rows[:3]], model.encode(TEXTS), atol=1e-6)
    kind = connection.sql("SELECT typeof(embed('a'))").fetchall()
    assert kind == [("FLOAT[384]",)]
    found = connection.sql(
        "SELECT id FROM letters WHERE text IS NOT NULL ORDER BY "
        "array_cosine_similarity(embed(text), embed_query('I forgot my login')) DESC"
    ).fetchall()
    assert found[0] == (0,)
    connection.close()


def test_more_rows_than_a_vector_of_duckdb(model: Encoderfile) -> None:
    connection = connected([])
    register(connection, model, dimensions=8)
    rows = connection.sql(
        "SELECT n, embed('text ' || n % 3) FROM range(5000) t(n) ORDER BY n"
    ).fetchall()
    wanted = model.encode([f"text {n}" for n in range(3)], dimensions=8)
    assert len(rows) == 5000
    assert np.allclose([row[1] for row in rows], wanted[np.arange(5000) % 3], atol=1e-6)
    assert connection.sql("SELECT embed(NULL)").fetchall() == [(None,)]
    connection.close()


def test_labels(build: Callable[[str], str]) -> None:
    core = Encoderfile.load(build("cls-pair-nli"))
    connection = connected([*TEXTS, None])
    assert register(connection, core, name="nli") == ["nli_classify"]
    rows = connection.sql("SELECT nli_classify(text) FROM letters ORDER BY id").fetchall()
    wanted = [(it[0]["label"],) for it in core.classify(TEXTS)]
    assert rows == [*wanted, (None,)]
    connection.close()


def test_entities_are_structs(build: Callable[[str], str]) -> None:
    core = Encoderfile.load(build("distilbert-token_classification"))
    connection = connected([*TEXTS, None, ""])
    assert register(connection, core) == ["entities"]
    rows = connection.sql("SELECT entities(text) FROM letters ORDER BY id").fetchall()
    wanted = core.entities(TEXTS)
    assert any(wanted)
    for (found,), entities in zip(rows[:3], wanted, strict=True):
        assert [{**it, "score": 0} for it in found] == [{**it, "score": 0} for it in entities]
        scores = [it["score"] for it in entities]
        assert np.allclose([it["score"] for it in found], scores, atol=1e-6)
    assert rows[3] == (None,)
    assert rows[4] == ([],)
    counted = connection.sql("SELECT sum(len(entities(text))) FROM letters").fetchall()
    assert counted == [(sum(map(len, wanted)),)]
    connection.close()


def test_a_model_without_functions_is_refused(build: Callable[[str], str]) -> None:
    with pytest.raises(ValueError, match="fill_mask"):
        register(connected([]), build("roberta-fill_mask"))
