"""Apache Spark: a column of embeddings, computed where the rows are.

>>> from pyspark.sql import SparkSession
>>> from encoderfile.spark import with_embeddings
>>> spark = SparkSession.builder.master("local[1]").getOrCreate()
>>> df = spark.createDataFrame([("How do I reset my password?",)], ["text"])
>>> len(with_embeddings(df, "text").first().embedding)
384

The file of the model travels as Spark's own files do (``SparkContext.addFile``); the default model
does not, since each worker's package has it. The processes of a host map one file.
"""

from __future__ import annotations

import atexit
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from .columns import Origin, check_columns, checked, embedded
from .errors import RequestError
from .hosts import link_or_copy, shared
from .integrations import Source, missing
from .model import Encoderfile
from .types import EncodeOptions

try:
    import pyarrow as pa  # type: ignore[import-untyped, unused-ignore] # pyright: ignore
    from pyspark import SparkContext, SparkFiles, TaskContext
    from pyspark.errors import PySparkAttributeError
    from pyspark.resource import ResourceProfile, ResourceProfileBuilder, TaskResourceRequests
    from pyspark.sql import Column, DataFrame, SparkSession
    from pyspark.sql.functions import arrow_udf  # type: ignore[attr-defined, unused-ignore]
    from pyspark.sql.types import ArrayType, FloatType, StringType, StructField, StructType
except ImportError as error:
    raise missing("'pyspark>=4.1' pyarrow", error, "encoderfile.spark") from error

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = ["embeddings", "with_embeddings"]

#: What an embedding is to Spark.
KIND = ArrayType(FloatType(), containsNull=False)
#: Which processes there are.
Processes = Literal["core", "executor"]


def embeddings(model: Source = None, **options: Unpack[EncodeOptions]) -> Callable[..., Column]:
    """A function of a column of texts that gives their embeddings: ``array<float>``.

    >>> df.select("id", embeddings("minilm.encoderfile")("text"))   # doctest: +SKIP

    ``options`` are those of :meth:`Encoderfile.encode`. A null gives a null. Each task computes
    with as many threads as it has cores (``spark.task.cpus``).

    Raises :class:`~encoderfile.EncoderfileError` for a wrong file or option, before any job.
    """
    context = _context(SparkSession.getActiveSession())
    origin, given = checked(model, options)
    _send(context, origin)
    return _function(origin, given)


def with_embeddings(
    df: DataFrame,
    column: str,
    model: Source = None,
    *,
    output: str = "embedding",
    processes: Processes = "core",
    **options: Unpack[EncodeOptions],
) -> DataFrame:
    """The rows with the embeddings of a column of texts: as they were, in their partitions and
    their order, with one column more, ``array<float>``. A null gives a null.

    ``processes`` says what computes on an executor: a process for each ``"core"``, with a thread,
    as Spark runs tasks, or one for the ``"executor"``, with all its cores, so that what a process
    has beside the file is there once. All columns pass through that one: their types have to be
    Arrow's too.

    ``options`` are those of :meth:`Encoderfile.encode`.

    Raises :class:`~encoderfile.EncoderfileError` for a wrong column, file or option, before any
    job.
    """
    context = _context(df.sparkSession)
    check_columns(column, output, df.columns)
    kind = df.schema[column].dataType
    if not isinstance(kind, StringType):
        raise RequestError(f"{column}: a column of {kind.simpleString()}, not of texts (string)")
    if processes not in ("core", "executor"):
        raise RequestError(f"processes: one of core, executor, not {processes!r}")
    profile = _profile(context) if processes == "executor" else None
    origin, given = checked(model, options)
    _send(context, origin)
    if profile is None:
        quoted = column.replace("`", "``")
        return df.withColumn(output, _function(origin, given)(df[f"`{quoted}`"]))
    schema = StructType([*df.schema.fields, StructField(output, KIND)])
    function = _map(origin, given, column, output)
    mapped: DataFrame = cast(Any, df).mapInArrow(function, schema, profile=profile)
    return mapped


# On the driver.


def _context(session: SparkSession | None) -> SparkContext:
    if session is None:
        java = shutil.which("java") or os.environ.get("JAVA_HOME")
        why = "" if java else "; it needs Java, and there is neither java on PATH nor JAVA_HOME"
        raise RequestError(
            f"spark: there is no session; SparkSession.builder.getOrCreate() makes one{why}"
        )
    try:
        return session.sparkContext
    except PySparkAttributeError:
        raise RequestError(
            "spark: a session of Spark Connect cannot send a model; use one with a master"
        ) from None


def _send(context: SparkContext, origin: Origin) -> None:
    """Has Spark send the file to whichever executor asks for it."""
    if origin.path is None:
        return
    # Files of Spark's are told apart by their names alone; this one is made of what is in it.
    link = _folder() / origin.identity.name
    if not link.exists():
        link.unlink(missing_ok=True)
        link.symlink_to(origin.path)
    if not any(it.endswith(f"/{link.name}") for it in context.listFiles):
        context.addFile(link.as_uri())


@cache
def _folder() -> Path:
    """Of names for files; executors that come later ask for them too."""
    folder = tempfile.mkdtemp(prefix="encoderfile-spark-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


def _profile(context: SparkContext) -> ResourceProfile | None:
    """What gives a task all cores of its executor; ``None`` where each has them anyway."""
    conf = context.getConf()
    master = context.master or ""
    cluster = re.fullmatch(r"local-cluster\[\s*\d+\s*,\s*(\d+)\s*,.*\]", master)
    is_local = master.startswith("local") and cluster is None
    if is_local:
        cores = context.defaultParallelism
    elif cluster is not None:
        cores = int(conf.get("spark.executor.cores", cluster[1]))
    else:
        cores = int(conf.get("spark.executor.cores", "0"))
    if cores == 0:
        raise RequestError(
            'processes: "executor" needs to know how many cores one has: set spark.executor.cores'
        )
    if int(conf.get("spark.task.cpus", "1")) == cores:
        return None
    if is_local:
        raise RequestError(
            f'processes: "executor" with the master {master} needs spark.task.cpus={cores}'
        )
    return ResourceProfileBuilder().require(TaskResourceRequests().cpus(cores)).build


# In the processes of executors.


def _function(origin: Origin, options: dict[str, Any]) -> Callable[..., Column]:
    # Spark reads of the types that it is a function of batches.
    def each(columns: Iterator[pa.Array]) -> Iterator[pa.Array]:  # pyright: ignore
        return map(_Rows(origin, options).embedded, columns)  # pyright: ignore

    return cast("Callable[..., Column]", cast(Any, arrow_udf)(each, KIND))


def _map(
    origin: Origin, options: dict[str, Any], column: str, output: str
) -> Callable[[Iterator[Any]], Iterator[Any]]:
    def each(batches: Iterator[Any]) -> Iterator[Any]:
        rows = _Rows(origin, options)
        arrow: Any = pa
        for batch in batches:
            vectors = rows.embedded(batch.column(column))
            names = [*batch.schema.names, output]
            yield arrow.RecordBatch.from_arrays([*batch.columns, vectors], names)

    return each


class _Rows:
    """The rows of a task, batch after batch."""

    def __init__(self, origin: Origin, options: dict[str, Any]) -> None:
        task = TaskContext.get()
        assert task is not None, "this is a task"
        self.partition = task.partitionId()
        self.begin = 0
        self.model = _opened(origin, task.cpus())
        self.options = options

    def embedded(self, texts: Any) -> Any:
        """The embeddings of the next rows."""
        begin = self.begin
        self.begin += len(texts)

        def row(place: int) -> str:
            return f"row {begin + place} of partition {self.partition}"

        return embedded(self.model, texts, self.options, row)


@cache
def _opened(origin: Origin, threads: int) -> Encoderfile:
    """The model, once in a process."""
    if origin.path is None:
        return origin.open(None, threads)
    own = Path(SparkFiles.get(origin.identity.name))
    path = shared(origin.identity, lambda target: link_or_copy(own, target))
    return origin.open(path or own, threads)
