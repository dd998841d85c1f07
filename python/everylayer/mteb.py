"""A model for MTEB: ``everylayer[mteb]``.

>>> import mteb
>>> from everylayer.mteb import EverylayerEncoder
>>> mteb.evaluate(EverylayerEncoder("bundled", layers="-4..-1", combine="mean"), mteb.get_tasks(["STS12"]))
"""

from __future__ import annotations

import os
from typing import Any

from mteb.models import ModelMeta  # pyright: ignore[reportMissingImports]
from mteb.models.abs_encoder import AbsEncoder  # pyright: ignore[reportMissingImports]

from . import _sentence
from ._embeddings import flat
from ._encoder import Encoder
from ._errors import UnsupportedError, UsageError


class EverylayerEncoder(AbsEncoder):  # type: ignore[misc]
    """What ``mteb.evaluate`` takes (``mteb.EncoderProtocol``), of any layers of a model.

    Parameters
    ----------
    model_name : str
        As `model` of `everylayer.Encoder`.
    revision : str, optional
        Of a model on the hub; MTEB writes it beside the scores.
    device, dtype, batch_tokens, verify
        As of `everylayer.Encoder`.
    **capture
        As of `Encoder.embed`: ``layers``, ``combine``, ``pool`` and others. Layers that are kept apart are put
        one after the other. MTEB keeps the scores of each capture apart (``experiment_kwargs``).
    """

    def __init__(
        self,
        model_name: str = "bundled",
        revision: str | None = None,
        *,
        device: str | None = None,
        dtype: str | None = None,
        batch_tokens: int | None = None,
        verify: str | None = None,
        **capture: Any,
    ) -> None:
        for name in ("prompt", "prompt_name", "precision"):
            if name in capture:
                raise UsageError(f"{name} is chosen by MTEB: leave it out")
        on_hub = model_name != "bundled" and not os.path.isdir(model_name)
        model = f"{model_name}@{revision}" if on_hub and revision else model_name
        self.model = Encoder(model, device=device, dtype=dtype, batch_tokens=batch_tokens, verify=verify)
        self._capture = capture
        prompts, _ = self.validate_task_to_prompt_name(self.model.prompts, raise_for_invalid_keys=False)
        self.model_prompts = prompts
        width = self._embed(["."], None, False).shape[1]
        told: dict[str, Any] = {
            "name": model_name.partition("@")[0] if on_hub else _name(model_name),
            "revision": revision,
            "max_tokens": self.model.max_seq_length,
            "embed_dim": width,
            "experiment_kwargs": {**capture, **({"dtype": dtype} if dtype else {})} or None,
        }
        self.mteb_model_meta = ModelMeta.create_empty(overwrites=told)

    def encode(
        self,
        inputs: Any,
        *,
        task_metadata: Any,
        hf_split: str,
        hf_subset: str,
        prompt_type: Any = None,
        **kwargs: Any,
    ) -> Any:
        """The vectors of the texts of a task, ``(texts, width)``.

        The prompt is the checkpoint's for the task, its type or ``prompt_type``, the first that there is.
        `kwargs` are those of ``encode_kwargs``: ``precision`` and ``show_progress_bar`` are heeded, and batches
        are of no consequence.
        """
        if unknown := sorted(set(kwargs) - {"batch_size", "show_progress_bar", "precision"}):
            raise UsageError(f"encode_kwargs holds {', '.join(unknown)}, which is not known here")
        texts = []
        for batch in inputs:
            if "text" not in batch:
                raise UnsupportedError(f"the task {task_metadata.name} has {', '.join(batch)}, and no texts")
            texts.extend(batch["text"])
        name = self.get_prompt_name(task_metadata, prompt_type)
        prompt = None if name is None else (self.model_prompts or {})[name]
        vectors = self._embed(texts, prompt, kwargs.get("show_progress_bar"))
        stored = _sentence.check_precision(kwargs.get("precision"))
        return _sentence.converted(vectors, stored, to_numpy=True, to_tensor=False, single=False)

    def _embed(self, texts: list[str], prompt: str | None, shown: bool | None) -> Any:
        return flat(self.model.embed(texts, prompt=prompt, show_progress_bar=shown, **self._capture))


def _name(model: str) -> str:
    """A name with an owner, which MTEB wants, of a model that has none."""
    if model == "bundled":
        return "sentence-transformers/all-MiniLM-L6-v2"
    return f"local/{os.path.basename(os.path.abspath(model))}"
