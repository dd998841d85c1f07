"""Results as a frame of pandas, an array of xarray, and a picture in a notebook."""

from __future__ import annotations

import html as markup
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ._errors import optional

if TYPE_CHECKING:
    from ._embeddings import Embeddings

# What is drawn at most.
_LAYERS, _ROWS = 32, 64


def _stacked(out: Embeddings) -> tuple[npt.NDArray[Any], bool]:
    """(rows, layers, width), and whether the layers are apart."""
    return out._states, out.combine == "stack"


def _texts(out: Embeddings) -> npt.NDArray[np.int64]:
    """The text of each row."""
    return np.repeat(np.arange(len(out)), np.diff(out.offsets))


def _rows(out: Embeddings) -> npt.NDArray[np.int64]:
    """Each row's number in its text."""
    return np.arange(int(out.offsets[-1])) - np.repeat(out.offsets[:-1], np.diff(out.offsets))


def frame(out: Embeddings) -> Any:
    """`Embeddings.to_pandas`."""
    pandas = optional("pandas", "pandas", "to_pandas")
    states, apart = _stacked(out)
    rows, layers, width = states.shape
    levels: dict[str, Any] = {"text": np.repeat(_texts(out), layers)}
    if out.rows != "texts":
        levels["row"] = np.repeat(_rows(out), layers)
        levels[out.rows[:-1]] = np.repeat(out._labels, layers)
    if apart:
        levels["layer"] = np.tile(out.layers, rows)
    index = pandas.MultiIndex.from_arrays(list(levels.values()), names=list(levels))
    return pandas.DataFrame(states.reshape(rows * layers, width), index=index, columns=pandas.RangeIndex(width, name="dim"))


def labelled(out: Embeddings) -> Any:
    """`Embeddings.to_xarray`."""
    xarray = optional("xarray", "xarray", "to_xarray")
    states, apart = _stacked(out)
    first = "text" if out.rows == "texts" else "row"
    coords: dict[str, Any] = {"text": (first, _texts(out))}
    if out.spans is not None:
        coords[out.rows[:-1]] = (first, out._labels)
        coords["start"] = (first, out.spans[:, 0])
        coords["end"] = (first, out.spans[:, 1])
    if apart:
        coords["layer"] = ("layer", out.layers)
    about = {"model": out.model, "device": out.device, "pool": out.pool, "combine": out.combine}
    dims = (first, "layer", "dim") if apart else (first, "dim")
    return xarray.DataArray(states if apart else states[:, 0], dims=dims, coords=coords, name="vectors", attrs=about)


def html(out: Embeddings) -> str:
    """What a notebook shows: what was asked for, the first rows, and a cell a layer and row."""
    facts = {
        "vectors": f"{out.vectors.dtype} {out.vectors.shape}",
        "texts": f"{len(out)}, {int(out.text_tokens.sum())} tokens" + (f", {out.truncated} cut" if out.truncated else ""),
        "layers": f"{_some(out.layers)} of {out.model}",
        "combine, pool": f"{out.combine}, {out.pool}",
        "device": f"{out.device}, {out.dtype}",
    }
    if out.rows != "texts":
        facts[out.rows] = " ".join(str(label) for label in out._labels[:_ROWS])
    rows = "".join(f"<tr><th>{name}</th><td>{markup.escape(value)}</td></tr>" for name, value in facts.items())
    return f'<table class="everylayer">{rows}</table>{_picture(out)}'


def _some(layers: list[int]) -> str:
    shown = ", ".join(map(str, layers[:_LAYERS]))
    return shown + (", .." if len(layers) > _LAYERS else "")


def _picture(out: Embeddings) -> str:
    """The length of each vector, a row a layer, dark being the longest of its layer."""
    states = out._states[:_ROWS, :_LAYERS]
    if not states.size:
        return ""
    lengths = np.linalg.norm(states.astype(np.float32), axis=-1).T
    shades = lengths / np.maximum(lengths.max(axis=1, keepdims=True), np.float32(1e-12))
    cells = []
    for y, row in enumerate(shades):
        for x, shade in enumerate(row):
            place = f"layer {y if y >= len(out.layers) or out.combine != 'stack' else out.layers[y]}, row {x}"
            cells.append(
                f'<rect x="{12 * x}" y="{12 * y}" width="11" height="11" fill="#3b4cc0" fill-opacity="{shade:.2f}">'
                f"<title>{place}: length {lengths[y, x]:.4g}</title></rect>"
            )
    height, width = 12 * len(shades), 12 * shades.shape[1]
    return f'<svg width="{width}" height="{height}" role="img" aria-label="length of each vector">{"".join(cells)}</svg>'
