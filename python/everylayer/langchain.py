"""Embeddings for LangChain: ``everylayer[langchain]``.

>>> from everylayer.langchain import EverylayerEmbeddings
>>> store = InMemoryVectorStore(EverylayerEmbeddings("bundled"))
"""

from __future__ import annotations

from typing import Any

from langchain_core.embeddings import Embeddings

from ._encoder import Encoder


class EverylayerEmbeddings(Embeddings):
    """Texts to lists of floats, as LangChain wants them.

    Parameters
    ----------
    model, device, dtype, batch_tokens, verify
        As of `everylayer.Encoder`.
    **encode
        What `Encoder.encode_query` and `Encoder.encode_document` take, such as ``normalize_embeddings``.
    """

    def __init__(
        self,
        model: str = "bundled",
        *,
        device: str | None = None,
        dtype: str | None = None,
        batch_tokens: int | None = None,
        verify: str | None = None,
        **encode: Any,
    ) -> None:
        self.encoder = Encoder(model, device=device, dtype=dtype, batch_tokens=batch_tokens, verify=verify)
        self._encode = {"show_progress_bar": False, **encode}

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """A vector a text, with the checkpoint's prompt for documents."""
        if not texts:
            return []
        vectors: list[list[float]] = self.encoder.encode_document(texts, **self._encode).tolist()
        return vectors

    def embed_query(self, text: str) -> list[float]:
        """The vector of a question, with the checkpoint's prompt for queries."""
        vector: list[float] = self.encoder.encode_query(text, **self._encode).tolist()
        return vector
