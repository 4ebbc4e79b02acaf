"""Ray Data on this machine, with actors that are processes of their own."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ray = pytest.importorskip("ray", reason="ray is not installed")
pytest.importorskip("ray.data", reason="ray[data] is not installed")

from ray.cloudpickle import register_pickle_by_value

from encoderfile import Encoderfile, EncoderfileError, ModelFileError, ModelFileNotFoundError
from encoderfile.ray import Embedder, with_embeddings

TEXTS = [None if n % 7 == 3 else f"Letter {n} is about {n % 5} cats." for n in range(120)]

# Actors have no module of this name.
register_pickle_by_value(sys.modules[__name__])


pytestmark = pytest.mark.usefixtures("ray_folder")


@pytest.fixture
def letters() -> Any:
    """Rows in 6 blocks."""
    rows = [{"id": n, "text": text} for n, text in enumerate(TEXTS)]
    return ray.data.from_items(rows, override_num_blocks=6)


def expected(model: Encoderfile, **options: Any) -> dict[int, bytes]:
    """The bytes of each text's embedding, by its number."""
    given = {n: text for n, text in enumerate(TEXTS) if text is not None}
    return {
        n: vector.tobytes()
        for n, vector in zip(given, model.encode(given.values(), **options), strict=True)
    }


def found(dataset: Any) -> dict[int, bytes]:
    rows = dataset.take_all()
    assert [row["text"] for row in rows] == [TEXTS[row["id"]] for row in rows]
    assert sorted(row["id"] for row in rows) == list(range(len(TEXTS)))
    vectors = {row["id"]: row["embedding"] for row in rows if row["embedding"] is not None}
    return {n: np.asarray(vector, np.float32).tobytes() for n, vector in vectors.items()}


@pytest.mark.parametrize(("actors", "threads"), [(2, 1), (1, 2), (None, 1)])
def test_the_vectors_of_a_local_run(
    actors: int | None, threads: int, letters: Any, model_path: str, model: Encoderfile
) -> None:
    dataset = with_embeddings(
        letters, "text", model_path, actors=actors, threads=threads, batch_size=7
    )
    assert dataset.columns() == ["id", "text", "embedding"]
    assert found(dataset) == expected(model)


def test_options_and_the_default_model(letters: Any) -> None:
    dataset = with_embeddings(letters, "text", dimensions=8, normalize=True)
    assert found(dataset) == expected(Encoderfile.load(), dimensions=8, normalize=True)


class Mapped(Embedder):
    """Gives which files its process has mapped instead of embeddings."""

    def __call__(self, batch: Any) -> Any:
        maps = Path("/proc/self/maps").read_text().splitlines()
        files = {it.split(maxsplit=5)[5] for it in maps if it.endswith(".encoderfile")}
        inodes = {it.split()[4] for it in maps if it.endswith(".encoderfile")}
        count = len(batch)
        return {"pid": [os.getpid()] * count, "mapped": [f"{inodes} {files}"] * count}


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="this system has no /proc")
def test_the_actors_of_a_host_map_one_file(
    letters: Any, model_path: str, ray_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("encoderfile.ray.Embedder", Mapped)
    rows = with_embeddings(letters, "text", model_path, actors=2, batch_size=7).take_all()
    mapped = {row["mapped"] for row in rows}
    assert len(mapped) == 1
    one = mapped.pop()
    assert one.count("'") == 2 * 2 and str(ray_folder / f"encoderfile-{os.getuid()}") in one


class Deadly(Embedder):
    """Ends its process once, over a batch of which it has computed the embeddings."""

    def __call__(self, batch: Any) -> Any:
        vectors = super().__call__(batch)
        marker = Path(os.environ["TMPDIR"]) / "killed"
        if batch.column("id").to_pylist()[0] > 60 and not marker.exists():
            marker.write_text(str(os.getpid()))
            os.kill(os.getpid(), 9)
        return vectors


def test_an_actor_that_is_killed_loses_and_doubles_nothing(
    letters: Any,
    model_path: str,
    model: Encoderfile,
    ray_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("encoderfile.ray.Embedder", Deadly)
    dataset = with_embeddings(letters, "text", model_path, actors=2, batch_size=7)
    assert found(dataset) == expected(model)
    killed = int((ray_folder / "killed").read_text())
    with pytest.raises(ProcessLookupError):
        os.kill(killed, 0)


def test_a_text_that_is_refused_is_named(model_path: str) -> None:
    texts = ["a cat", None, "cat " * 600]
    dataset = ray.data.from_items([{"text": text} for text in texts], override_num_blocks=1)
    wanted = r"row 2 of a batch \('cat cat .*…'\): the text has 602 tokens, the model takes"
    with pytest.raises(Exception, match=wanted):
        with_embeddings(dataset, "text", model_path, overflow="error").take_all()


def test_what_is_wrong_is_said_before_a_job(
    letters: Any, model_path: str, tmp_path: Path, build: Callable[[str], str]
) -> None:
    def said(column: str, model: Any = model_path, **options: Any) -> str:
        with pytest.raises(EncoderfileError) as error:
            with_embeddings(letters, column, model, **options)
        assert "\n" not in str(error.value)
        return str(error.value)

    assert said("txt") == "txt: there is no such column; the nearest is 'text'"
    assert said("text", output="id") == "output: there is a column 'id' already"
    assert said("text", rule="query").endswith("the nearest is 'role'")
    assert said("text", threads=0) == "threads: a number from 1, not 0"
    assert said("text", actors=-1) == "actors: a number from 1, not -1"
    assert "embed" in said("text", build("cls-pair-nli"))
    with pytest.raises(ModelFileNotFoundError, match="absent"):
        with_embeddings(letters, "text", tmp_path / "absent.encoderfile")
    (tmp_path / "other").write_text("no model")
    with pytest.raises(ModelFileError, match="other"):
        with_embeddings(letters, "text", tmp_path / "other")
