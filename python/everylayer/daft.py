"""Vectors of a column by Daft: ``everylayer[daft]``.

>>> from everylayer.daft import embed
>>> df.with_column("vectors", embed(df["text"], layers="-4..-1", combine="mean")).write_parquet("out")
"""

from __future__ import annotations

from typing import Any

import daft
import pyarrow

from ._column import ColumnEmbedder, OnError, check_on_error, encoder_arguments, vector_type


def embed(
    series: daft.Expression,
    *,
    model: str = "bundled",
    device: str | None = None,
    dtype: str | None = None,
    batch_tokens: int | None = None,
    verify: str | None = None,
    on_error: OnError = "raise",
    workers: int = 1,
    cpus: float = 1,
    gpus: float = 0,
    batch_rows: int = 1024,
    **capture: Any,
) -> daft.Expression:
    """The vectors of a column of texts.

    Each worker loads the model once. On the CPU it has `cpus` threads, and the numbers are the same bits whatever
    the partitions are.

    Parameters
    ----------
    series : daft.Expression
        The column of the texts.
    model, device, dtype, batch_tokens, verify
        As of `everylayer.Encoder`, on each worker. The driver loads the model too, on its CPU, to tell the type
        of the vectors.
    on_error : {"raise", "reject"}
        With ``"reject"`` a text that cannot be embedded has a null and a reason, and the column is one of
        structs; with ``"raise"`` it ends the job.
    workers : int
        How many processes at most.
    cpus, gpus
        What Daft reserves for each.
    batch_rows : int
        Rows of a call.
    **capture
        As of `Encoder.embed`: ``layers``, ``combine``, ``pool`` and others.

    Returns
    -------
    daft.Expression
        Lists of fixed size, in a list of rows for tokens and words; with ``on_error="reject"`` structs of
        ``vectors`` and ``rejected``.
    """
    check_on_error(on_error)
    encoder = encoder_arguments(model, device, dtype, batch_tokens, verify)
    kind = vector_type(encoder, capture)
    if on_error == "reject":
        kind = pyarrow.struct([("vectors", kind), ("rejected", pyarrow.string())])

    class Embed:
        """Vectors of a batch of the column."""

        def __init__(self) -> None:
            self._embedder = ColumnEmbedder(encoder, capture, on_error, max(int(cpus), 1))

        @daft.method.batch(return_dtype=daft.DataType.from_arrow_type(kind), batch_size=batch_rows)
        def __call__(self, texts: daft.Series) -> Any:
            vectors, reasons = self._embedder(texts.to_arrow())
            if on_error == "raise":
                return vectors
            return pyarrow.StructArray.from_arrays([vectors, reasons], ["vectors", "rejected"])

    made: Any = daft.cls(Embed, cpus=cpus, gpus=gpus, max_concurrency=workers, use_process=True)
    found: daft.Expression = made()(series)
    return found
