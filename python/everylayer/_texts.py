"""Texts in whatever Python holds them, for the engine: a list, or what speaks Arrow."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from ._errors import TextTypeError

Pair: TypeAlias = "tuple[str, str]"
"""Two texts that a model reads together."""

Texts: TypeAlias = "str | Iterable[str] | Iterable[Pair] | npt.NDArray[Any] | Any"
"""A text, a sequence of them, an array of NumPy or pandas, or an Arrow array by the PyCapsule interface."""

_WHAT = "texts are a str, a sequence of str, or an array of strings"


def is_single(texts: Texts) -> bool:
    """Whether it is one text, not a batch of them."""
    return isinstance(texts, str)


def prepared(texts: Texts) -> Any:
    """`texts` as the engine takes them: a list, or an object with the Arrow PyCapsule interface.

    Raises
    ------
    TextTypeError
        For what is no sequence of texts.
    """
    if isinstance(texts, str):
        return [texts]
    if isinstance(texts, list):
        return texts
    if isinstance(texts, np.ndarray):
        return _of_array(texts)
    if isinstance(texts, (bytes, bytearray, memoryview)):
        raise TextTypeError(f"texts is {type(texts).__name__}: decode it first; {_WHAT}")
    if isinstance(texts, (dict, set, frozenset)):
        raise TextTypeError(f"texts is a {type(texts).__name__}, which has no order of texts; {_WHAT}")
    if hasattr(texts, "columns") or hasattr(texts, "column_names"):
        raise TextTypeError(f"texts is a table ({type(texts).__name__}): name the column that holds the texts")
    if _speaks_arrow(texts):
        return texts
    if isinstance(texts, Iterable):
        return list(texts)
    raise TextTypeError(f"texts is {_named(texts)}; {_WHAT}")


def _named(value: object) -> str:
    return "None" if value is None else f"a {type(value).__name__}"


def _of_array(texts: npt.NDArray[Any]) -> list[Any]:
    if texts.ndim != 1:
        raise TextTypeError(f"texts is an array of {texts.ndim} dimensions: give one of 1, a text an item")
    if texts.dtype.kind not in "UOT":
        raise TextTypeError(f"texts is an array of {texts.dtype}: give one of strings")
    items: list[Any] = texts.tolist()
    return items


def _speaks_arrow(texts: Any) -> bool:
    if not (hasattr(texts, "__arrow_c_stream__") or hasattr(texts, "__arrow_c_array__")):
        return False
    # A Series of pandas always has the interface, and only some hold their texts so.
    array = getattr(texts, "array", None)
    return array is None or callable(array) or type(array).__name__.startswith("Arrow")
