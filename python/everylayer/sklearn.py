"""Vectors of layers as a transformer of scikit-learn: ``everylayer[sklearn]``.

>>> from everylayer.sklearn import LayerEmbedder
>>> probe = make_pipeline(LayerEmbedder(layers=-2), LogisticRegression())
>>> GridSearchCV(probe, {"layerembedder__layers": range(7)}).fit(texts, labels)
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from ._embeddings import flat
from ._encoder import Encoder
from ._errors import UsageError
from ._texts import Texts, prepared
from ._words import Layers


@lru_cache(maxsize=2)
def _encoder(
    model: str, device: str | None, dtype: str | None, batch_tokens: int | None, verify: str | None
) -> Encoder:
    """One encoder for all clones of a transformer: a grid of layers loads its model once."""
    return Encoder(model, device=device, dtype=dtype, batch_tokens=batch_tokens, verify=verify)


class LayerEmbedder(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Texts to vectors, of any layers of a model. Nothing is learned.

    Parameters
    ----------
    model, device, dtype, batch_tokens, verify
        As of `everylayer.Encoder`. The model is loaded once for all clones in a process.
    layers, combine, pool, normalize, dims, max_tokens, overflow, prompt, prompt_name
        As of `Encoder.embed`; ``pool`` has to give one row a text. Layers that are kept apart become
        features one after the other.

    Attributes
    ----------
    n_features_out_ : int
        Numbers of a vector.
    """

    def __init__(
        self,
        model: str = "bundled",
        *,
        layers: Layers = "last",
        combine: str = "stack",
        pool: str = "model",
        normalize: bool | None = None,
        dims: int | None = None,
        max_tokens: int | None = None,
        overflow: str = "truncate",
        prompt: str | None = None,
        prompt_name: str | None = None,
        device: str | None = None,
        dtype: str | None = None,
        batch_tokens: int | None = None,
        verify: str | None = None,
    ) -> None:
        self.model = model
        self.layers = layers
        self.combine = combine
        self.pool = pool
        self.normalize = normalize
        self.dims = dims
        self.max_tokens = max_tokens
        self.overflow = overflow
        self.prompt = prompt
        self.prompt_name = prompt_name
        self.device = device
        self.dtype = dtype
        self.batch_tokens = batch_tokens
        self.verify = verify

    def fit(self, X: Texts, y: object = None) -> LayerEmbedder:
        """Loads the model and looks at the arguments; the texts are not read."""
        self.n_features_out_ = self._embed(["."]).shape[1]
        return self

    def transform(self, X: Texts) -> npt.NDArray[np.float32]:
        """The vectors of texts, ``(texts, n_features_out_)`` float32."""
        check_is_fitted(self)
        if isinstance(X, str):
            raise UsageError("X is one str: give a list of texts")
        texts = prepared(X)
        if hasattr(texts, "__len__") and len(texts) == 0:
            return np.empty((0, self.n_features_out_), dtype=np.float32)
        return self._embed(texts)

    def get_feature_names_out(self, input_features: object = None) -> npt.NDArray[np.object_]:
        """A name a feature, for `set_output`."""
        check_is_fitted(self)
        return np.array([f"layerembedder{i}" for i in range(self.n_features_out_)], dtype=object)

    def _embed(self, texts: Any) -> npt.NDArray[np.float32]:
        encoder = _encoder(self.model, self.device, self.dtype, self.batch_tokens, self.verify)
        out = encoder.embed(
            texts,
            layers=self.layers,
            combine=self.combine,
            pool=self.pool,
            normalize=self.normalize,
            dims=self.dims,
            max_tokens=self.max_tokens,
            overflow=self.overflow,
            prompt=self.prompt,
            prompt_name=self.prompt_name,
            show_progress_bar=False,
        )
        return flat(out)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.one_d_array = True
        tags.input_tags.two_d_array = False
        tags.requires_fit = True
        return tags
