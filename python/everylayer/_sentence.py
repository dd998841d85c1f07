"""What sentence-transformers does around a model: parameters of `encode`, types, precisions, similarity.

sentence-transformers 6.2: ``sentence_transformer/model.py``, ``util/quantization.py``, ``util/similarity.py``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from . import _native
from ._embeddings import Embeddings
from ._errors import Error, NoAdapterError, UnsupportedError, UsageError, optional
from ._progress import progress

if TYPE_CHECKING:
    from ._encoder import Encoder

PRECISIONS = ("float32", "int8", "uint8", "binary", "ubinary")

Floats = npt.NDArray[np.float32]


class OutputValueError(Error, KeyError):
    """``output_value`` is none that a model gives."""

    kind = "usage"

    def __str__(self) -> str:
        return str(self.args[0])


class NumberTypeError(Error, TypeError):
    """What is no number stands where one should."""

    kind = "usage"


def unknown_output(value: object) -> Error:
    """The error for an `output_value` that is none."""
    return OutputValueError(
        f"output_value is {value!r}: it is 'sentence_embedding', 'token_embeddings' or None"
    )


def words(prompt: str | None) -> _native.Words:
    """The default capture with `prompt`."""
    return {
        "site": "hidden",
        "final_norm": None,
        "layers": "last",
        "combine": "stack",
        "pool": "model",
        "normalize": None,
        "dims": None,
        "precision": "f32",
        "max_tokens": None,
        "overflow": "truncate",
        "prompt": prompt,
        "route": "auto",
    }


def check_call(
    encoder: Encoder, batch_size: int, device: object, pool: object, chunk_size: object, kwargs: dict[str, Any]
) -> None:
    """Refuses what cannot be had; batches are of no consequence, and a task is not without a Router."""
    if not isinstance(batch_size, (int, np.integer)):
        raise NumberTypeError(f"batch_size is {batch_size!r}: it is a whole number")
    if batch_size <= 0:
        raise UsageError(f"batch_size is {batch_size}: it is a positive number")
    if pool is not None or chunk_size is not None or isinstance(device, (list, tuple)):
        raise UnsupportedError(
            "pool, chunk_size and lists of devices are processes of sentence-transformers: make an Encoder in "
            "each process instead, or see everylayer.ray"
        )
    if device is not None and str(device) not in (encoder.device, encoder._device):
        raise NoAdapterError(f"device is {device!r}, and the encoder is on {encoder.device}: make another for it")
    if "processing_kwargs" in kwargs:
        raise UnsupportedError("processing_kwargs is not supported: embed takes max_tokens and overflow")
    if unknown := sorted(set(kwargs) - {"task"}):
        raise UsageError(f"encode does not take {', '.join(unknown)}")


def check_precision(precision: Any) -> str:
    """`precision`; None is float32."""
    if precision is None:
        return "float32"
    if not isinstance(precision, str) or precision not in PRECISIONS:
        raise UsageError(f"precision is {precision!r}: it is one of {', '.join(PRECISIONS)}")
    return str(precision)


class Call:
    """The texts of one call of `encode`."""

    def __init__(self, engine: _native.Engine, texts: Any, prompt: str | None, shown: bool | None) -> None:
        self.engine = engine
        self.texts = texts
        self.words = words(prompt)
        self.shown = shown

    def run(self, **changed: Any) -> Embeddings:
        """What the engine makes of the texts, some words being changed."""
        count = len(self.texts) if hasattr(self.texts, "__len__") else None
        asked: Any = {**self.words, **changed}
        with progress(self.shown, count) as report:
            return Embeddings(self.engine.embed(self.texts, asked, report))

    def sentences(self, normalize: bool, truncate_dim: int | None) -> Floats:
        """A vector a text, (texts, width)."""
        most = self.engine.truncate_dim
        if truncate_dim is not None and most is not None and truncate_dim > most:
            raise UnsupportedError(
                f"truncate_dim is {truncate_dim}, and the checkpoint keeps {most} dimensions: ask for fewer"
            )
        cut = truncate_dim is not None or most is not None
        vectors: Floats = self.run(normalize=True if normalize and not cut else None).vectors
        if truncate_dim is not None:
            vectors = np.ascontiguousarray(vectors[:, :truncate_dim])
        # As there, what is cut is normalised afterwards.
        return normalized(vectors) if normalize and cut else vectors

    def tokens(self, precision: str, single: bool) -> Any:
        """A tensor (tokens, width) a text."""
        torch = optional("torch", "torch", "output_value='token_embeddings'")
        found: Any = self._token_vectors()
        if precision != "float32" and found:
            quantised = quantized(np.concatenate(found), precision)
            found = np.split(quantised, np.cumsum([len(rows) for rows in found])[:-1])
        else:
            found = [torch.from_numpy(rows) for rows in found]
        return found[0] if single else found

    def everything(self, precision: str, truncate_dim: int | None, single: bool) -> Any:
        """A dict a text: its ids, the vectors of its tokens, and its own."""
        if precision != "float32":
            raise UsageError(f"precision {precision} is not there for output_value=None: it has several outputs")
        torch = optional("torch", "torch", "output_value=None")
        rows = [
            {name: torch.tensor(ids) for name, ids in of.items()}
            for of in map(_inputs, self.engine.tokenize(self.texts, self.words))
        ]
        both = zip(self._token_vectors(), self.sentences(False, truncate_dim), strict=True)
        for row, (tokens, sentence) in zip(rows, both, strict=True):
            row["token_embeddings"] = torch.from_numpy(tokens)
            row["sentence_embedding"] = torch.from_numpy(sentence)
        return rows[0] if single else rows

    def _token_vectors(self) -> list[Floats]:
        if self.engine.has_token_modules:
            raise UnsupportedError(
                "this checkpoint runs modules on its tokens, whose vectors are not given out: embed with "
                "pool='tokens' gives the states before them"
            )
        return list(self.run(pool="tokens", normalize=False))


def _inputs(row: str) -> dict[str, list[int]]:
    import json

    tokens = json.loads(row)
    ids: list[int] = tokens["ids"]
    return {"input_ids": ids, "token_type_ids": tokens["types"], "attention_mask": [1] * len(ids)}


def converted(vectors: Floats, precision: str, to_numpy: bool, to_tensor: bool, single: bool) -> Any:
    """(texts, width) float32 as `encode` gives it."""
    found: npt.NDArray[Any] = vectors if precision == "float32" or not len(vectors) else quantized(vectors, precision)
    if to_tensor:
        torch = optional("torch", "torch", "convert_to_tensor")
        tensor = torch.from_numpy(found) if len(found) else torch.tensor([])
        return tensor[0] if single else tensor
    if to_numpy:
        # As there: no texts are an array without a second axis.
        array = found if len(found) else np.array([])
        return array[0] if single else array
    torch = optional("torch", "torch", "convert_to_numpy=False")
    tensors = list(torch.from_numpy(found)) if len(found) else []
    return tensors[0] if single else tensors


def normalized(vectors: Floats) -> Floats:
    """Rows of length 1; a row of zeros stays."""
    lengths = np.sqrt(np.sum(vectors * vectors, axis=-1, keepdims=True, dtype=np.float32))
    scaled: Floats = np.divide(vectors, np.maximum(lengths, np.float32(1e-12)), dtype=np.float32)
    return scaled


def quantized(vectors: Floats, precision: str) -> npt.NDArray[Any]:
    """``quantize_embeddings`` of sentence-transformers, ranges being those of `vectors`."""
    if precision in ("binary", "ubinary"):
        bits = np.packbits(vectors > 0, axis=-1)
        return bits if precision == "ubinary" else (bits ^ 0x80).view(np.int8)
    if len(vectors) < 2:
        raise UsageError(f"precision {precision} takes its ranges from the vectors of the call, and there is one")
    starts = vectors.min(axis=0)
    steps: Any = (vectors.max(axis=0) - starts) / 255
    steps[steps == 0] = 1
    levels: npt.NDArray[Any] = np.clip(np.floor((vectors - starts) / steps), 0, 255).astype(np.uint8)
    return levels if precision == "uint8" else (levels ^ 0x80).view(np.int8)


def similarity(name: str, first: Any, second: Any, pairwise: bool = False) -> Any:
    """Each of `first` with each of `second`; with its own `second` where it is pairwise."""
    compare = _COMPARE.get(name)
    if compare is None:
        raise UsageError(f"similarity_fn_name of the checkpoint is {name!r}: it is one of {', '.join(_COMPARE)}")
    is_tensor = any(type(of).__module__.partition(".")[0] == "torch" for of in (first, second))
    a, b = _rows(first, "embeddings1"), _rows(second, "embeddings2")
    if a.shape[1] != b.shape[1]:
        raise UsageError(f"embeddings1 are {a.shape[1]} wide and embeddings2 {b.shape[1]}: they must be alike")
    if pairwise and len(a) != len(b):
        raise UsageError(f"there are {len(a)} embeddings1 and {len(b)} embeddings2: pairs need as many of each")
    scores = compare(a, b, pairwise)
    return optional("torch", "torch", "similarity").from_numpy(scores) if is_tensor else scores


def _rows(vectors: Any, name: str) -> Floats:
    if isinstance(vectors, (list, tuple)) and len(vectors) and not np.isscalar(vectors[0]):
        vectors = [np.asarray(row) for row in vectors]
    rows = np.asarray(vectors, dtype=np.float32)
    if rows.ndim == 1:
        rows = rows[None]
    if rows.ndim != 2:
        raise UsageError(f"{name} has {rows.ndim} dimensions: it is (n, width), or (width,)")
    return rows


def _dot(a: Floats, b: Floats, pairwise: bool) -> Floats:
    scores: Floats = np.einsum("ij,ij->i", a, b) if pairwise else a @ b.T
    return scores


def _cosine(a: Floats, b: Floats, pairwise: bool) -> Floats:
    return _dot(normalized(a), normalized(b), pairwise)


def _distances(order: int) -> Callable[[Floats, Floats, bool], Floats]:
    def compare(a: Floats, b: Floats, pairwise: bool) -> Floats:
        # A row of `a` at a time: (n, m, width) need not fit in memory.
        of = [b[i : i + 1] for i in range(len(a))] if pairwise else [b] * len(a)
        rows = [-np.linalg.norm(row - others, ord=order, axis=-1) for row, others in zip(a, of, strict=True)]
        scores: Floats = np.asarray(rows, dtype=np.float32).reshape(len(a), -1)
        return scores[:, 0] if pairwise else scores

    return compare


_COMPARE: dict[str, Callable[[Floats, Floats, bool], Floats]] = {
    "cosine": _cosine,
    "dot": _dot,
    "euclidean": _distances(2),
    "manhattan": _distances(1),
}
