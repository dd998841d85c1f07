"""Every layer of any BERT, on any GPU.

>>> from everylayer import Encoder
>>> encoder = Encoder("bundled")
>>> encoder.encode(["Hello, world!"]).shape
(1, 384)
>>> encoder.embed(["Hello, world!"], layers="all", pool="tokens").vectors.shape
(6, 7, 384)

`Encoder` loads a model, `Embeddings` is what `Encoder.embed` gives, and every error is an `Error`.
"""

from ._embeddings import Embeddings
from ._encoder import Encoder
from ._errors import (
    CheckpointError,
    DeviceLostError,
    Error,
    ForkedError,
    GpuError,
    HubError,
    IoError,
    MissingPackageError,
    NoAdapterError,
    NotFiniteError,
    NotFoundError,
    OutOfMemoryError,
    TextError,
    TextTypeError,
    TooLongError,
    UnsupportedError,
    UsageError,
)
from ._native import __version__

__all__ = [
    "CheckpointError",
    "DeviceLostError",
    "Embeddings",
    "Encoder",
    "Error",
    "ForkedError",
    "GpuError",
    "HubError",
    "IoError",
    "MissingPackageError",
    "NoAdapterError",
    "NotFiniteError",
    "NotFoundError",
    "OutOfMemoryError",
    "TextError",
    "TextTypeError",
    "TooLongError",
    "UnsupportedError",
    "UsageError",
    "__version__",
]
