"""A column of texts to a column of vectors: what a worker of Ray, Spark or Daft runs."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from ._encoder import Encoder
from ._errors import Error, UsageError, optional

OnError = Literal["raise", "reject"]

# What is the fault of a text, not of the call or the device.
_BAD_TEXT = frozenset({"type", "text", "too_long", "not_finite"})
# Tokens of a call, in batches of the engine, where a row a text comes back; else one batch.
_BATCHES = 8
# What a token is guessed to have.
_CHARACTERS = 4


class ColumnEmbedder:
    """An encoder, loaded once, and what is asked of it.

    Parameters
    ----------
    encoder : mapping
        Arguments of `Encoder`.
    capture : mapping
        Arguments of `Encoder.embed` after the texts.
    on_error : {"raise", "reject"}
        Whether a text that cannot be embedded ends the job, or has a null and a reason.
    threads : int, optional
        Threads of the CPU executor, where it is the first encoder of the process.
    """

    def __init__(
        self,
        encoder: Mapping[str, Any],
        capture: Mapping[str, Any],
        on_error: OnError = "raise",
        threads: int | None = None,
    ) -> None:
        check_on_error(on_error)
        self._arrow = optional("pyarrow", "arrow", "a column of texts")
        if threads is not None:
            os.environ.setdefault("RAYON_NUM_THREADS", str(threads))
        self._encoder = Encoder(**encoder)
        self._capture = {"show_progress_bar": False, **capture}
        self._on_error = on_error

    def __call__(self, texts: Any) -> tuple[Any, Any]:
        """The vectors of an array or a chunked array of strings, and a reason for each that has none.

        Returns
        -------
        (pyarrow.Array, pyarrow.Array)
            Vectors, in lists of fixed size (in a list of rows for tokens and words); strings, null where
            there are vectors.
        """
        arrow = self._arrow
        if isinstance(texts, arrow.ChunkedArray):
            texts = texts.combine_chunks()
        if self._on_error == "raise":
            return self._vectors(texts), arrow.nulls(len(texts), arrow.string())
        reasons: list[str | None] = [None if text.is_valid else "the text is null" for text in texts]
        parts: list[Any] = []
        self._some([i for i, reason in enumerate(reasons) if reason is None], texts, parts, reasons)
        found = arrow.concat_arrays(parts) if parts else self._vectors(texts[:0])
        places, at = [], 0
        for reason in reasons:
            places.append(at if reason is None else None)
            at += reason is None
        return found.take(arrow.array(places, arrow.int64())), arrow.array(reasons, arrow.string())

    def _some(self, rows: list[int], texts: Any, parts: list[Any], reasons: list[str | None]) -> None:
        """Adds the vectors of `rows` to `parts`, and a reason for those that have none: what a text is
        with others does not change its vectors, so that halves are run where the whole fails."""
        if not rows:
            return
        try:
            parts.append(self._vectors(texts.take(self._arrow.array(rows))))
        except Error as error:
            if error.kind not in _BAD_TEXT:
                raise
            if len(rows) == 1:
                reasons[rows[0]] = str(error)
                return
            half = len(rows) // 2
            self._some(rows[:half], texts, parts, reasons)
            self._some(rows[half:], texts, parts, reasons)

    def _vectors(self, texts: Any) -> Any:
        if len(texts) == 0:
            # Of the right type.
            return self._vectors(self._arrow.array(["."]))[:0]
        vectors = self._encoder.embed(texts, **self._capture).to_arrow().column("vectors")
        return vectors.combine_chunks() if isinstance(vectors, self._arrow.ChunkedArray) else vectors


class TableEmbedder:
    """A table with a column of texts to the same table with their vectors.

    Parameters
    ----------
    column, output, rejects : str
        The columns of the texts, of the vectors, and of the reasons for texts that have none.
    encoder, capture : mapping
        Arguments of `everylayer.Encoder` and of `Encoder.embed`.
    on_error : {"raise", "reject"}
        Whether a text that cannot be embedded ends the job.
    threads : int, optional
        Threads of the CPU executor.
    """

    def __init__(
        self,
        column: str = "text",
        output: str = "vectors",
        rejects: str = "rejected",
        encoder: Mapping[str, Any] | None = None,
        capture: Mapping[str, Any] | None = None,
        on_error: OnError = "raise",
        threads: int | None = None,
    ) -> None:
        self._column, self._output, self._rejects = column, output, rejects
        self._on_error = on_error
        self._embedder = ColumnEmbedder(encoder or {}, capture or {}, on_error, threads)

    def __call__(self, table: Any) -> Any:
        """`table`, a ``pyarrow.Table``, with a column more, or two."""
        check_columns(table.column_names, self._column, self._output, self._rejects, self._on_error)
        vectors, reasons = self._embedder(table.column(self._column))
        table = table.append_column(self._output, vectors)
        return table.append_column(self._rejects, reasons) if self._on_error == "reject" else table


def check_on_error(on_error: str) -> None:
    """Refuses what is none of the two."""
    if on_error not in ("raise", "reject"):
        raise UsageError(f"on_error is {on_error!r}: it is 'raise' or 'reject'")


def check_columns(names: Sequence[str], column: str, output: str, rejects: str, on_error: str) -> None:
    """Refuses a table without the column of the texts, or with one of those that are added."""
    check_on_error(on_error)
    if column not in names:
        raise UsageError(f"there is no column {column!r}: there are {', '.join(names)}")
    added = {"output": output, "rejects": rejects} if on_error == "reject" else {"output": output}
    for argument, name in added.items():
        if name in names:
            raise UsageError(f"there is a column {name!r} already: give the new one another name with {argument}=")
    if on_error == "reject" and output == rejects:
        raise UsageError(f"output and rejects are both {output!r}: they are two columns")


def vector_type(encoder: Mapping[str, Any], capture: Mapping[str, Any]) -> Any:
    """The type of Arrow of the vectors that come of it. Loads the model, on the CPU."""
    none = optional("pyarrow", "arrow", "a column of texts").array([], "string")
    return ColumnEmbedder({**encoder, "device": "cpu"}, capture)(none)[0].type


def encoder_arguments(
    model: str, device: str | None, dtype: str | None, batch_tokens: int | None, verify: str | None
) -> dict[str, Any]:
    """Arguments of `Encoder` for a worker, whose working directory is another."""
    place = os.path.abspath(model) if os.path.isdir(model) else model
    return {"model": place, "device": device, "dtype": dtype, "batch_tokens": batch_tokens, "verify": verify}


def rows_of_a_batch(texts: list[str], batch_tokens: int | None, capture: Mapping[str, Any]) -> int:
    """Rows that make a call of some batches of the engine, where texts are like `texts`."""
    characters = sum(len(text) for text in texts if isinstance(text, str)) / max(len(texts), 1)
    batches = 1 if str(capture.get("pool", "")).startswith(("tokens", "words")) else _BATCHES
    tokens = max(characters / _CHARACTERS, 1) + 2
    return int(min(max(batches * (batch_tokens or 8192) / tokens, 16), 65536))
