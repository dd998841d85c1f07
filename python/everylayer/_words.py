"""Arguments of a capture as the words of its grammar."""

from __future__ import annotations

import operator
from collections.abc import Iterable
from typing import Any, TypeAlias

from ._errors import UsageError

Layers: TypeAlias = "str | int | Iterable[int]"
"""A word of the grammar (``"all"``, ``"-4..-1"``), a state, or some states."""


def layers(value: Layers) -> str:
    """The grammar's word for `value`."""
    if isinstance(value, str):
        return unicode("layers", value)
    if isinstance(value, Iterable) and not isinstance(value, (bytes, dict, set)):
        return ",".join(str(_index(item)) for item in value)
    return str(_index(value))


def _index(value: Any) -> int:
    if isinstance(value, bool):
        raise UsageError(f"layers holds {value}: a layer is a number")
    try:
        return operator.index(value)
    except TypeError as cause:
        raise UsageError(f"layers holds {value!r}: a layer is a number, or a word such as '-4..-1'") from cause


def word(name: str, value: Any) -> str:
    """`value`, where it is a str of Unicode."""
    if not isinstance(value, str):
        raise UsageError(f"{name} is {value!r}: it is a str, one of the words of --{name.replace('_', '-')} of the program")
    return unicode(name, value)


def unicode(name: str, value: str) -> str:
    """`value`, where it holds no lone surrogate."""
    try:
        value.encode()
    except UnicodeEncodeError as cause:
        raise UsageError(f"{name} is {value!r}, which is not Unicode: there is a lone surrogate at character {cause.start}") from None
    return value


def count(name: str, value: Any) -> int | None:
    """`value`, where it is a number from 1, or None."""
    if value is None:
        return None
    try:
        number = None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        number = None
    if number is None or not 1 <= number < 2**63:
        raise UsageError(f"{name} is {value!r}: it is a whole number from 1, or None")
    return number


def flag(name: str, value: Any) -> bool | None:
    """`value`, where it is a bool or None."""
    if value is None or isinstance(value, bool):
        return value
    raise UsageError(f"{name} is {value!r}: it is True, False or None")
