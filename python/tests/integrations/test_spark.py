"""Spark on this machine, as a cluster of two executors with two cores each."""

from __future__ import annotations

import datetime
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

pyspark = pytest.importorskip("pyspark", reason="pyspark is not installed")
pa = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
if shutil.which("java") is None:
    pytest.skip("Java is not installed", allow_module_level=True)
if sys.platform != "linux":
    pytest.skip("processes are looked at in Linux's /proc", allow_module_level=True)

from pyspark.errors import PySparkAttributeError, PythonException
from pyspark.sql import DataFrame, Row, SparkSession
from pyspark.sql.functions import arrow_udf

from encoderfile import Encoderfile, EncoderfileError, ModelFileError, ModelFileNotFoundError
from encoderfile import spark as module
from encoderfile.columns import checked
from encoderfile.spark import embeddings, with_embeddings

TEXTS = [None if n % 7 == 3 else f"Letter {n} is about {n % 5} cats." for n in range(120)]


@pytest.fixture(scope="module")
def letters(spark: SparkSession) -> DataFrame:
    """Rows of many types, in 6 partitions."""
    day = datetime.date(2024, 2, 29)
    rows = [(n, text, {"n": [n]}, day, bytes([n])) for n, text in enumerate(TEXTS)]
    spark.conf.set("spark.sql.execution.arrow.maxRecordsPerBatch", "8")
    kinds = "id int, text string, nested map<string, array<int>>, day date, raw binary"
    return spark.createDataFrame(rows, kinds).repartitionByRange(6, "id").cache()


def expected(model: Encoderfile, **options: Any) -> dict[int, bytes]:
    """The bytes of each text's embedding, by its number."""
    given = {n: text for n, text in enumerate(TEXTS) if text is not None}
    return {
        n: vector.tobytes()
        for n, vector in zip(given, model.encode(given.values(), **options), strict=True)
    }


def found(rows: list[Row]) -> dict[int, bytes]:
    assert len({row.id for row in rows}) == len(rows)
    vectors = {row.id: row.embedding for row in rows if row.embedding is not None}
    return {n: np.asarray(vector, np.float32).tobytes() for n, vector in vectors.items()}


@pytest.mark.parametrize("processes", ["core", "executor"])
def test_rows_are_as_they_were_with_the_vectors_of_a_local_run(
    processes: Any, letters: DataFrame, model_path: str, model: Encoderfile
) -> None:
    result = with_embeddings(letters, "text", model_path, processes=processes)
    assert result.columns == [*letters.columns, "embedding"]
    assert result.schema["embedding"].dataType.simpleString() == "array<float>"
    rows = result.collect()
    assert found(rows) == expected(model)
    assert [row[:-1] for row in rows] == [tuple(row) for row in letters.collect()]
    sizes = [len(it) for it in letters.rdd.glom().collect()]
    assert [len(it) for it in result.rdd.glom().collect()] == sizes


def test_a_function_of_a_column_with_options(
    letters: DataFrame, model_path: str, model: Encoderfile
) -> None:
    function = embeddings(model_path, dimensions=8, normalize=True)
    rows = letters.select("id", function("text").alias("embedding")).collect()
    assert found(rows) == expected(model, dimensions=8, normalize=True)


def test_the_default_model_needs_no_file(spark: SparkSession, letters: DataFrame) -> None:
    files = spark.sparkContext.listFiles
    rows = with_embeddings(letters, "text", output="embedding").collect()
    assert found(rows) == expected(Encoderfile.load())
    assert spark.sparkContext.listFiles == files


def test_models_of_the_same_name(
    letters: DataFrame, build: Callable[[str], str], tmp_path: Path
) -> None:
    for name in ["st-mean-normalize", "st-roles"]:
        (tmp_path / name).mkdir()
        path = shutil.copyfile(build(name), tmp_path / name / "model.encoderfile")
        rows = with_embeddings(letters, "text", path, role="query").collect()
        assert found(rows) == expected(Encoderfile.load(path), role="query")


def test_the_executors_of_a_host_map_one_file(letters: DataFrame, model_path: str) -> None:
    computed: Any = embeddings(model_path)
    each, name = computed.func, checked(model_path, {})[0].identity.name

    # By value: executors have no module of this name.
    @arrow_udf("string")
    def mapped(columns: Iterator[pa.Array]) -> Iterator[pa.Array]:
        for vectors in each(columns):
            maps = Path("/proc/self/maps").read_text().splitlines()
            files = {tuple(it.split()[3:6]) for it in maps if it.endswith(f"/{name}")}
            yield pa.array([f"{os.getcwd()} {files}"] * len(vectors))

    rows = letters.select(mapped("text").alias("mapped")).distinct().collect()
    executors = {row.mapped.split(" ")[0] for row in rows}
    files = {row.mapped.split(" ", 1)[1] for row in rows}
    assert len(executors) == 2
    # Of device, inode and path.
    assert len(files) == 1 and files.pop().count("'") == 2 * 3


def test_one_process_of_an_executor_has_all_its_cores(
    letters: DataFrame, model_path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original: Any = type(letters).mapInArrow
    folder = str(tmp_path)

    def watched(df: DataFrame, function: Any, *arguments: Any, **named: Any) -> DataFrame:
        def alone(batches: Iterator[Any]) -> Iterator[Any]:
            from pyspark import TaskContext

            executor = Path(folder) / os.getcwd().replace("/", "-")
            executor.mkdir()  # fails where another task of this executor is at work
            yield from function(batches)
            executor.rmdir()
            task: Any = TaskContext.get()
            (Path(folder) / f"task-{task.partitionId()}-{task.cpus()}").touch()

        result: DataFrame = original(df, alone, *arguments, **named)
        return result

    monkeypatch.setattr(type(letters), "mapInArrow", watched)
    with_embeddings(letters, "text", model_path, processes="executor").collect()
    assert sorted(it.name for it in tmp_path.iterdir()) == [f"task-{n}-2" for n in range(6)]


def test_an_executor_that_is_killed_loses_and_doubles_nothing(
    letters: DataFrame, model_path: str, model: Encoderfile, tmp_path: Path
) -> None:
    computed: Any = embeddings(model_path)
    each, marker = computed.func, str(tmp_path / "killed")

    @arrow_udf("array<float>")
    def deadly(columns: Iterator[pa.Array]) -> Iterator[pa.Array]:
        from pyspark import TaskContext

        task: Any = TaskContext.get()
        for number, vectors in enumerate(each(columns)):
            yield vectors
            # One of the last partitions, when some of it is done, and once.
            if task.partitionId() == 4 and number == 1 and not os.path.exists(marker):
                status = Path(f"/proc/{os.getppid()}/status").read_text()
                executor = int(status.split("PPid:")[1].split()[0])
                Path(marker).write_text(str(executor))
                os.kill(executor, 9)

    # Written by some executor, and read by another: what a killed one had written is lost.
    result = letters.select("id", deadly("text").alias("embedding")).repartition(3)
    assert found(result.collect()) == expected(model)
    killed = Path(marker).read_text()
    assert not Path(f"/proc/{killed}/exe").exists()


def test_a_text_that_is_refused_is_named(
    spark: SparkSession, letters: DataFrame, model_path: str
) -> None:
    long = "cat " * 600
    rows = [(n, long if n == 21 else TEXTS[n]) for n in range(40)]
    df = spark.createDataFrame(rows, "id int, text string").coalesce(1)
    wanted = r"row 21 of partition 0 \('cat cat .*…'\): the text has 602 tokens, the model takes"
    with pytest.raises(PythonException, match=wanted):
        with_embeddings(df, "text", model_path, overflow="error").collect()


def test_what_is_wrong_is_said_before_a_job(
    spark: SparkSession, letters: DataFrame, model_path: str, build: Callable[[str], str]
) -> None:
    spark.sparkContext.setJobGroup("wrong", "nothing of it runs")

    def said(column: str, model: Any = model_path, **options: Any) -> str:
        with pytest.raises(EncoderfileError) as error:
            with_embeddings(letters, column, model, **options)
        assert "\n" not in str(error.value)
        return str(error.value)

    assert said("Txet") == "Txet: there is no such column; the nearest is 'text'"
    assert said("zzz").endswith("there are id, text, nested, day, raw")
    assert said("id") == "id: a column of int, not of texts (string)"
    assert said("text", output="day") == "output: there is a column 'day' already"
    assert said("text", dimension=8).endswith("the nearest is 'dimensions'")
    assert "dimensions" in said("text", dimensions=9999)
    assert said("text", processes="all") == "processes: one of core, executor, not 'all'"
    assert "embed" in said("text", build("cls-pair-nli"))
    assert "bytes" in said("text", Encoderfile.load(Path(model_path).read_bytes()))
    assert spark.sparkContext.statusTracker().getJobIdsForGroup("wrong") == []
    spark.sparkContext.setLocalProperty("spark.jobGroup.id", "")


def test_a_file_that_is_no_model(letters: DataFrame, tmp_path: Path) -> None:
    with pytest.raises(ModelFileNotFoundError, match="absent"):
        with_embeddings(letters, "text", tmp_path / "absent.encoderfile")
    (tmp_path / "other").write_text("no model")
    with pytest.raises(ModelFileError, match="other"):
        with_embeddings(letters, "text", tmp_path / "other")


def test_without_a_session_and_without_java(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SparkSession, "getActiveSession", lambda: None)
    with pytest.raises(EncoderfileError, match=r"getOrCreate\(\) makes one$"):
        embeddings()
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("JAVA_HOME", raising=False)
    with pytest.raises(EncoderfileError, match="needs Java, and there is neither java on PATH"):
        embeddings()


def test_a_session_of_spark_connect(monkeypatch: pytest.MonkeyPatch) -> None:
    class Connect:
        @property
        def sparkContext(self) -> Any:
            raise PySparkAttributeError("no JVM here")

    monkeypatch.setattr(SparkSession, "getActiveSession", Connect)
    with pytest.raises(EncoderfileError, match="Spark Connect"):
        embeddings()


@pytest.mark.parametrize(
    ("master", "settings", "said"),
    [
        ("spark://host:7077", {}, "set spark.executor.cores"),
        ("local[4]", {}, "needs spark.task.cpus=4"),
        ("yarn", {"spark.executor.cores": "8", "spark.task.cpus": "8"}, None),
        ("local[4]", {"spark.task.cpus": "4"}, None),
    ],
)
def test_the_cores_of_an_executor(master: str, settings: dict[str, str], said: str | None) -> None:
    context: Any = SimpleNamespace(master=master, defaultParallelism=4, getConf=lambda: settings)
    if said is None:
        assert module._profile(context) is None
        return
    with pytest.raises(EncoderfileError, match=said):
        module._profile(context)
