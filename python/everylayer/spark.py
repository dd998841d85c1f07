"""Vectors of a corpus by Spark: ``everylayer[spark]``.

>>> from everylayer.spark import embed
>>> embed(spark.read.parquet("corpus"), "text", layers="-4..-1", combine="mean").write.parquet("out")
"""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Iterator
from functools import lru_cache, partial
from typing import Any

import pyarrow
from pyspark.sql import DataFrame  # pyright: ignore[reportMissingImports]
from pyspark.sql.pandas.types import to_arrow_type  # pyright: ignore[reportMissingImports]
from pyspark.sql.types import ArrayType, ByteType, DataType, FloatType, ShortType, StringType, StructType  # pyright: ignore[reportMissingImports]

from ._column import OnError, TableEmbedder, check_columns, encoder_arguments, rows_of_a_batch, vector_type


def embed(
    df: DataFrame,
    column: str = "text",
    *,
    model: str = "bundled",
    device: str | None = None,
    dtype: str | None = None,
    batch_tokens: int | None = None,
    verify: str | None = None,
    output: str = "vectors",
    rejects: str = "rejected",
    on_error: OnError = "raise",
    **capture: Any,
) -> DataFrame:
    """`df` with a column of vectors.

    Each worker of Python loads the model once. On the CPU it has as many threads as ``spark.task.cpus`` says,
    and the numbers are the same bits whatever the partitions are.

    Parameters
    ----------
    df : pyspark.sql.DataFrame
        What has the texts; its other columns stay.
    column : str
        The column of the texts.
    model, device, dtype, batch_tokens, verify
        As of `everylayer.Encoder`, on each worker. The driver loads the model too, on its CPU, to tell the type
        of the vectors.
    output : str
        The column of the vectors: arrays, in arrays of rows for tokens and words. float16 becomes float, and
        the bytes of ``precision="ubinary"`` short.
    rejects, on_error : str
        With ``on_error="reject"`` a text that cannot be embedded has a null there and the reason in the
        column `rejects`; with ``"raise"`` it ends the job.
    **capture
        As of `Encoder.embed`: ``layers``, ``combine``, ``pool`` and others.

    Returns
    -------
    pyspark.sql.DataFrame
        Lazy, as Spark's are.
    """
    check_columns(df.columns, column, output, rejects, on_error)
    encoder = encoder_arguments(model, device, dtype, batch_tokens, verify)
    kind = _spark_type(vector_type(encoder, capture))
    schema = StructType(list(df.schema.fields)).add(output, kind)
    if on_error == "reject":
        schema = schema.add(rejects, StringType())
    arguments = {
        "column": column,
        "output": output,
        "rejects": rejects,
        "encoder": encoder,
        "capture": capture,
        "on_error": on_error,
        "threads": int(df.sparkSession.conf.get("spark.task.cpus", "1") or 1),
    }
    return df.mapInArrow(partial(_embedded, arguments=pickle.dumps(arguments), kind=to_arrow_type(kind)), schema)


@lru_cache(maxsize=1)
def _embedder(arguments: bytes) -> TableEmbedder:
    """One for all partitions that a process has."""
    return TableEmbedder(**pickle.loads(arguments))


def _embedded(
    batches: Iterable[pyarrow.RecordBatch], arguments: bytes, kind: Any
) -> Iterator[pyarrow.RecordBatch]:
    asked = pickle.loads(arguments)
    for batch in batches:
        texts = pyarrow.Table.from_batches([batch])
        rows = rows_of_a_batch(
            texts.column(asked["column"])[:64].to_pylist(), asked["encoder"]["batch_tokens"], asked["capture"]
        )
        for at in range(0, len(texts), rows):
            table = _embedder(arguments)(texts.slice(at, rows))
            place = table.column_names.index(asked["output"])
            table = table.set_column(place, asked["output"], table.column(place).cast(kind))
            yield from table.combine_chunks().to_batches()


def _spark_type(kind: Any) -> DataType:
    """That of Spark for the vectors of Arrow."""
    if hasattr(kind, "value_type"):
        return ArrayType(_spark_type(kind.value_type), containsNull=False)
    if pyarrow.types.is_floating(kind):
        return FloatType()
    return ByteType() if kind == pyarrow.int8() else ShortType()
