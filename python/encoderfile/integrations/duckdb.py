"""DuckDB: what a model computes as functions of SQL, over whole vectors of rows.

>>> import duckdb
>>> from encoderfile.integrations.duckdb import register
>>> connection = duckdb.connect()
>>> register(connection)
['embed', 'embed_query']
>>> connection.sql(
...     "SELECT array_cosine_similarity(embed('a cat'), embed('a kitten')) > 0.5"
... ).fetchall()
[(True,)]
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from . import Source, encoded, missing, opened

try:
    import duckdb
    import pyarrow as pa  # type: ignore[import-untyped, unused-ignore] # pyright: ignore
    from duckdb.func import FunctionNullHandling, PythonUDFType
except ImportError as error:
    raise missing("duckdb pyarrow", error) from error

if TYPE_CHECKING:
    from ..model import Encoderfile
    from ..types import Role

__all__ = ["register"]

#: Of texts, without NULLs: a result for each, and the Arrow type of it.
Function = Callable[[list[str]], Any]
ENTITY = 'STRUCT(entity_group VARCHAR, score FLOAT, word VARCHAR, start INTEGER, "end" INTEGER)[]'


def register(
    connection: duckdb.DuckDBPyConnection,
    model: Source = None,
    *,
    name: str | None = None,
    **options: Any,
) -> list[str]:
    """Makes what the model computes functions of a ``VARCHAR``, and returns their names.

    - An embedding model has ``embed`` and ``embed_query``, which has the prompt for queries:
      ``FLOAT[dimensions]``. (``encode`` is a function that DuckDB itself has.)
    - A classifier has ``classify``: the best label, ``VARCHAR``.
    - A model for token classification has ``entities``: a list of structs.

    With ``name``, they are ``{name}_embed`` and so on, so that several models can be used at once.
    ``options`` are those of the methods of :class:`~encoderfile.Encoderfile`. NULL gives NULL.
    """
    loaded = opened(model)
    prefix = "" if name is None else f"{name}_"
    functions = _functions(loaded, options)
    for each, (function, type_name, arrow) in functions.items():
        cast(Any, connection).create_function(
            prefix + each,
            _over_arrow(function, arrow),
            ["VARCHAR"],
            type_name,
            type=PythonUDFType.ARROW,
            null_handling=FunctionNullHandling.SPECIAL,
        )
    return [prefix + each for each in functions]


def _functions(model: Encoderfile, options: dict[str, Any]) -> dict[str, tuple[Function, str, Any]]:
    arrow: Any = pa
    if model.task == "sentence_embedding":
        width = int(options.get("dimensions") or model.dimensions)
        kind = (f"FLOAT[{width}]", arrow.list_(arrow.float32(), width))

        def embed(role: Role) -> Function:
            return lambda texts: list(encoded(model, texts, role, options))

        return {"embed": (embed("document"), *kind), "embed_query": (embed("query"), *kind)}
    if model.task == "sequence_classification":
        return {
            "classify": (
                lambda texts: [it[0]["label"] for it in model.classify(texts, top_k=1, **options)],
                "VARCHAR",
                arrow.string(),
            )
        }
    if model.task == "token_classification":
        fields = {"entity_group": arrow.string(), "score": arrow.float32(), "word": arrow.string()}
        struct = arrow.struct({**fields, "start": arrow.int32(), "end": arrow.int32()})
        kind = (ENTITY, arrow.list_(struct))
        return {"entities": (lambda texts: model.entities(texts, **options), *kind)}
    raise ValueError(f"{model.name} is for {model.task}: no function of SQL is made of it")


def _over_arrow(function: Function, arrow_type: Any) -> Callable[[Any], Any]:
    """A function of a column of texts, for which equal texts are computed once."""
    arrow: Any = pa

    def over(column: Any) -> Any:
        texts: list[str | None] = column.to_pylist()
        places: dict[str, int] = {}
        for text in texts:
            if text is not None:
                places.setdefault(text, len(places))
        found: Any = function(list(places)) if places else []
        rows: list[Any] = [None if text is None else found[places[text]] for text in texts]
        return arrow.array(rows, arrow_type)

    return over
