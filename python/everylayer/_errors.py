"""The exceptions: each is an `Error`, and the built-in exception that fits."""

from __future__ import annotations

import importlib
from types import ModuleType


class Error(Exception):
    """What everylayer raises. The message says what is wrong, where, and what to do.

    Attributes
    ----------
    kind : str
        What sort of thing went wrong, such as ``"usage"`` or ``"not_found"``: one word a class.
    """

    kind: str = "other"


class UsageError(Error, ValueError):
    """An argument is off: a layer that does not exist, a word that is none."""

    kind = "usage"


class TextTypeError(Error, TypeError):
    """Something stands where a text should: the message names its place."""

    kind = "type"


class TextError(Error, ValueError):
    """A text that is not Unicode, or that cannot be split into tokens."""

    kind = "text"


class TooLongError(Error, ValueError):
    """A text has more tokens than the limit, under ``overflow="error"``."""

    kind = "too_long"


class NotFoundError(Error, FileNotFoundError):
    """A model, or a file of it, does not exist."""

    kind = "not_found"


class IoError(Error, OSError):
    """Reading or writing failed."""

    kind = "io"


class HubError(Error, ConnectionError):
    """The model hub could not be reached, or refused."""

    kind = "hub"


class CheckpointError(Error, ValueError):
    """The files of a model contradict themselves or each other."""

    kind = "checkpoint"


class UnsupportedError(Error, NotImplementedError):
    """What is asked for, or what a checkpoint asks for, is not computed by this version."""

    kind = "unsupported"


class NoAdapterError(Error, RuntimeError):
    """No device of this machine is the one that was asked for."""

    kind = "no_adapter"


class GpuError(Error, RuntimeError):
    """The driver of a GPU refused an operation."""

    kind = "gpu"


class DeviceLostError(Error, RuntimeError):
    """A GPU was lost while it worked."""

    kind = "device_lost"


class OutOfMemoryError(Error, MemoryError):
    """The device or the host ran out of memory."""

    kind = "out_of_memory"


class NotFiniteError(Error, ArithmeticError):
    """A hidden state holds NaN or infinity."""

    kind = "not_finite"


class ForkedError(Error, RuntimeError):
    """A process that was forked after a model was loaded cannot use the engine."""

    kind = "forked"


class MissingPackageError(Error, ImportError):
    """A package that the call needs is not installed: the message names it."""

    kind = "missing_package"


_CLASSES: dict[str, type[Error]] = {
    of.kind: of
    for of in (
        UsageError,
        TextTypeError,
        TextError,
        TooLongError,
        NotFoundError,
        IoError,
        HubError,
        CheckpointError,
        UnsupportedError,
        NoAdapterError,
        GpuError,
        DeviceLostError,
        OutOfMemoryError,
        NotFiniteError,
        ForkedError,
        MissingPackageError,
    )
}


def error(kind: str, message: str) -> Error:
    """The exception of this kind; the engine makes its own with it."""
    return _CLASSES.get(kind, Error)(message)


def optional(name: str, extra: str, what: str) -> ModuleType:
    """The module `name`, which `what` needs; `extra` is the extra of this package that installs it."""
    try:
        return importlib.import_module(name)
    except ImportError as cause:
        top = name.partition(".")[0]
        raise MissingPackageError(
            f"{what} needs {top}, which cannot be imported ({cause}): pip install 'everylayer[{extra}]'"
        ) from cause
