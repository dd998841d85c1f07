"""What `Encoder.embed` gives: vectors, and what each row of them stands for."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from . import _native
from . import _tables as tables
from ._errors import UsageError, optional


class Embeddings:
    """Vectors of texts, with what each row stands for.

    Rows are texts, or tokens or words of the texts one after the other (``pool="tokens"``, ``"words"``).

    Attributes
    ----------
    vectors : numpy.ndarray
        ``(rows, layers, width)``; ``(rows, width)`` where there is one layer, or the layers are combined.
        float32, or what ``precision`` says: float16, int8, uint8 (8 dimensions a byte).
    offsets : numpy.ndarray of int64
        ``(texts + 1,)``: the rows of text i are ``offsets[i]`` to ``offsets[i + 1]``, the last excluded.
    layers : list of int
        The chosen states, in the caller's order: 0 goes into the first block, L comes out of the last.
    site : str
        What was read of each of them.
    heads, head_dim : int or None
        How each row of ``z``, ``q``, ``k`` or ``v`` is divided: ``vectors.reshape(..., heads, head_dim)``.
    combine, pool, precision : str
        How layers became one, tokens became rows, and numbers are stored.
    model, device, dtype : str
        The model, where it ran, and what its weights were stored in.
    text_tokens : numpy.ndarray of int64
        ``(texts,)``: tokens of each text that went through the model, special ones included.
    lost : numpy.ndarray of int64
        ``(texts,)``: tokens of each text that were cut off because it was too long.
    rerun : list of int
        Texts whose numbers float16 did not hold, and which were run again in float32.

    Examples
    --------
    >>> out = Encoder("bundled").embed(["Good morning"], layers="-4..-1", combine="mean", pool="words")
    >>> out.vectors.shape, list(out.words)
    ((2, 384), ['Good', 'morning'])
    """

    def __init__(self, reply: _native.Reply) -> None:
        self._reply = reply
        self.model = reply.model
        self.device = reply.device
        self.dtype = reply.dtype
        self.layers = reply.layers
        self.site = reply.site
        heads, head_dim = reply.heads or (None, None)
        self.heads: int | None = heads
        self.head_dim: int | None = head_dim
        self.combine = reply.combine
        self.pool = reply.pool
        self.precision = reply.precision
        self.offsets = reply.offsets
        self.text_tokens = reply.text_tokens
        self.lost = reply.lost
        self.rerun = reply.rerun
        axis, width = reply.layer_axis, reply.width
        rows = int(reply.offsets[-1])
        if reply.layers_first:
            # (rows, layers, width) of the same numbers: a text alone is never copied.
            states = reply.vectors.reshape(axis, rows, width).transpose(1, 0, 2)
        else:
            states = reply.vectors.reshape(rows, axis, width)
        self._states: npt.NDArray[Any] = states
        self.vectors: npt.NDArray[Any] = states[:, 0] if axis == 1 else states

    @property
    def rows(self) -> Literal["texts", "tokens", "words"]:
        """What a row stands for."""
        return self._reply.rows

    @property
    def width(self) -> int:
        """Numbers of a row, of one layer: with ``precision="ubinary"``, bytes."""
        return self._reply.width

    @property
    def truncated(self) -> int:
        """How many texts were cut because they were too long."""
        return int(np.count_nonzero(self.lost))

    @cached_property
    def _labels(self) -> npt.NDArray[np.object_]:
        labels = np.empty(len(self._reply.labels), dtype=object)
        labels[:] = self._reply.labels
        return labels

    @property
    def words(self) -> npt.NDArray[np.object_] | None:
        """``(rows,)``: each word as it stands in its text; None where rows are no words."""
        return self._labels if self.rows == "words" else None

    @property
    def tokens(self) -> npt.NDArray[np.object_] | None:
        """``(rows,)``: each token as the vocabulary writes it; None where rows are no tokens."""
        return self._labels if self.rows == "tokens" else None

    @property
    def token_ids(self) -> npt.NDArray[np.int64] | None:
        """``(rows,)``: each token's number in the vocabulary; None where rows are no tokens."""
        return self._reply.ids if self.rows == "tokens" else None

    @property
    def word_ids(self) -> npt.NDArray[np.int64] | None:
        """``(rows,)``: the word of its text that each token is of, -1 for special tokens; None where
        rows are no tokens."""
        return self._reply.word_ids if self.rows == "tokens" else None

    @property
    def spans(self) -> npt.NDArray[np.int64] | None:
        """``(rows, 2)``: first character of each token or word in its text, and one past the last, in
        Unicode code points; None where rows are texts."""
        return None if self.rows == "texts" else self._reply.spans.reshape(-1, 2)

    def __len__(self) -> int:
        """How many texts there are."""
        return len(self.offsets) - 1

    def __getitem__(self, text: int) -> npt.NDArray[Any]:
        """The vectors of one text: ``(rows, layers, width)``, an axis of one layer dropped, and that of
        the rows where they are texts."""
        count = len(self)
        if not -count <= text < count:
            raise IndexError(f"text {text} of {count}")
        at = text % count
        rows: npt.NDArray[Any] = self.vectors[self.offsets[at] : self.offsets[at + 1]]
        return rows[0] if self.rows == "texts" else rows

    def __iter__(self) -> Iterator[npt.NDArray[Any]]:
        """The vectors of each text."""
        return (self[text] for text in range(len(self)))

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> npt.NDArray[Any]:
        """``vectors``."""
        if copy:
            return np.array(self.vectors, dtype=dtype)
        return np.asarray(self.vectors, dtype=dtype)

    def __arrow_c_array__(self, requested_schema: object | None = None) -> tuple[object, object]:
        """A table by the Arrow PyCapsule interface, as a Parquet file of the program has it: a row a text
        with ``index``, ``text_tokens``, ``tokens_lost``, ``vectors``, and ``tokens`` or ``words``."""
        return self._reply.arrow_array()

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """The same as a stream: ``pyarrow.table(out)``, ``polars.from_arrow(out)``, ``duckdb``."""
        return self._reply.arrow_stream()

    def to_arrow(self) -> Any:
        """A ``pyarrow.Table`` with a row a text.

        Returns
        -------
        pyarrow.Table
            ``index``, ``text_tokens``, ``tokens_lost``, ``vectors`` (lists of fixed size, in a list of rows
            for tokens and words), and ``tokens`` or ``words`` where those are the rows.
        """
        return optional("pyarrow", "arrow", "to_arrow").table(self)

    def to_pandas(self) -> Any:
        """A ``pandas.DataFrame`` of the numbers.

        Returns
        -------
        pandas.DataFrame
            A column a dimension; a row for each row and layer of ``vectors``. The levels of its index are
            ``text``; ``row`` and ``token`` or ``word`` where those are the rows; and ``layer`` where the
            layers are apart.
        """
        return tables.frame(self)

    def to_xarray(self) -> Any:
        """An ``xarray.DataArray`` with named axes.

        Returns
        -------
        xarray.DataArray
            ``(text, dim)``, or ``(row, dim)`` for tokens and words, whose ``text``, ``token`` or ``word``,
            ``start`` and ``end`` are coordinates of ``row``; between them ``layer`` where the layers are apart.
        """
        return tables.labelled(self)

    def _repr_html_(self) -> str:
        return tables.html(self)

    def __repr__(self) -> str:
        return (
            f"Embeddings({len(self)} texts, vectors {self.vectors.dtype} {self.vectors.shape}, "
            f"layers {self.layers}, combine {self.combine!r}, pool {self.pool!r})"
        )


def flat(out: Embeddings) -> npt.NDArray[Any]:
    """``(texts, features)``: layers that are apart become features one after the other.

    Raises
    ------
    UsageError
        Where there is no row a text.
    """
    if out.rows != "texts":
        raise UsageError(f"pool is {out.pool!r}, which gives no row a text: use another, such as 'mean'")
    return out.vectors.reshape(len(out), -1)
