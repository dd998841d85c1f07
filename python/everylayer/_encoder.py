"""`Encoder`: a model on a device."""

from __future__ import annotations

import json
import logging
import os
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from . import _native, _sentence, _texts, _words
from ._command import quiet_mesa
from ._embeddings import Embeddings
from ._errors import TextTypeError, UsageError
from ._page import Page
from ._progress import progress
from ._texts import Texts

logger = logging.getLogger("everylayer")

# What sentence-transformers gives every model.
_PROMPTS = {"query": "", "document": ""}
_DOCUMENT = ("document", "passage", "corpus")

Precision = Literal["float32", "int8", "uint8", "binary", "ubinary"]


class Encoder:
    """A model, its tokenizer and the device it runs on.

    One encoder serves any number of threads, and other threads of Python run while it works. It pickles as
    the arguments it was made with: whoever unpickles it loads the model again.

    Parameters
    ----------
    model : str or os.PathLike
        ``"bundled"`` (all-MiniLM-L6-v2), a folder in the layout of Hugging Face, or an id of its hub.
    device : str, optional
        ``"auto"`` (a GPU where there is one, else the CPU), ``"cpu"``, ``"gpu"``, the number of an adapter,
        or the beginning of a word of its name. The default is that of the environment variable
        ``EVERYLAYER_DEVICE``, else ``"auto"``.
    dtype : {"auto", "f32", "f16"}, optional
        What weights are stored in; ``"auto"`` is float32.
    batch_tokens : int, optional
        Tokens of one batch at most, 8192 where none are named. No result depends on it.
    verify : {"once", "always", "never"}, optional
        When the kernels of a GPU are held against the CPU before they are used: at the first use with an
        adapter and driver, at each load, or not at all. The default is ``"once"``.

    Raises
    ------
    NotFoundError, HubError, IoError
        Where there is no such model, or it cannot be read.
    CheckpointError, UnsupportedError
        For files that contradict themselves, or that this version does not compute.
    NoAdapterError, GpuError, OutOfMemoryError
        From the device.

    Examples
    --------
    >>> encoder = Encoder("bundled")
    >>> encoder.encode("Hello, world!").shape
    (384,)
    """

    def __init__(
        self,
        model: str | os.PathLike[str] = "bundled",
        *,
        device: str | None = None,
        dtype: str | None = None,
        batch_tokens: int | None = None,
        verify: str | None = None,
    ) -> None:
        if not isinstance(model, (str, os.PathLike)):
            raise UsageError(f"model is {model!r}: it is 'bundled', a folder, or an id of the hub")
        name = _words.word("model", os.fspath(model))
        # A folder is the same one for whoever unpickles this.
        self._model = os.path.abspath(name) if os.path.isdir(name) else name
        self._device = None if device is None else _words.word("device", device)
        self._dtype = None if dtype is None else _words.word("dtype", dtype)
        self._batch_tokens = _words.count("batch_tokens", batch_tokens)
        self._verify = None if verify is None else _words.word("verify", verify)
        chosen = self._device or os.environ.get("EVERYLAYER_DEVICE") or "auto"
        quiet_mesa()
        self._engine = _native.Engine(
            self._model, chosen, self._dtype or "auto", self._batch_tokens, self._verify or "once"
        )
        for note in self._engine.notes:
            logger.warning(note)

    def __reduce__(self) -> tuple[Any, ...]:
        return _made, (type(self), self._model, self._device, self._dtype, self._batch_tokens, self._verify)

    def __copy__(self) -> Encoder:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Encoder:
        return self

    def __repr__(self) -> str:
        return f"Encoder({self._model!r}, device={self.device!r}, dtype={self.dtype!r})"

    @property
    def model(self) -> str:
        """The model, as a person would name it."""
        return self._engine.name

    @property
    def device(self) -> str:
        """The device it runs on."""
        return self._engine.device

    @property
    def dtype(self) -> str:
        """What weights are stored in."""
        return self._engine.dtype

    @property
    def depth(self) -> int:
        """Blocks L: there are L + 1 hidden states, 0 to L."""
        return self._engine.depth

    @property
    def width(self) -> int:
        """Numbers of a hidden state's row."""
        return self._engine.width

    @property
    def max_seq_length(self) -> int:
        """Tokens of a text at most, special ones included, where a call names no other limit."""
        return self._engine.max_tokens

    @property
    def batch_tokens(self) -> int:
        """Tokens of one batch at most."""
        return self._engine.batch_tokens

    @property
    def prompts(self) -> dict[str, str]:
        """The checkpoint's prompts by name, and an empty ``query`` and ``document``."""
        return _PROMPTS | self._engine.prompts

    @property
    def similarity_fn_name(self) -> str:
        """What `similarity` computes: ``cosine``, ``dot``, ``euclidean`` or ``manhattan``."""
        return self._engine.similarity or "cosine"

    def get_embedding_dimension(self) -> int:
        """Numbers of a vector that `encode` gives."""
        return self._engine.dimension

    def encode(
        self,
        inputs: Texts,
        prompt_name: str | None = None,
        prompt: str | None = None,
        batch_size: int = 32,
        show_progress_bar: bool | None = None,
        output_value: Literal["sentence_embedding", "token_embeddings"] | None = "sentence_embedding",
        precision: Precision = "float32",
        convert_to_numpy: bool = True,
        convert_to_tensor: bool = False,
        device: str | list[str] | None = None,
        normalize_embeddings: bool = False,
        truncate_dim: int | None = None,
        pool: dict[str, Any] | None = None,
        chunk_size: int | None = None,
        **kwargs: Any,
    ) -> Any:
        """The vectors of texts, as ``SentenceTransformer.encode`` of sentence-transformers 6 gives them.

        Parameters
        ----------
        inputs : str, sequence of str, or array of strings
            The texts; a tuple of two is a pair. Arrays of NumPy and pandas, and Arrow arrays by the
            PyCapsule interface.
        prompt_name : str, optional
            The name of one of `prompts`, which is put before every text.
        prompt : str, optional
            What is put before every text; goes before `prompt_name`.
        batch_size : int
            Checked, and otherwise of no effect: batches are made by tokens (``Encoder(batch_tokens=)``), and
            no result depends on them.
        show_progress_bar : bool, optional
            A bar of tqdm. None: where tqdm is installed and standard error is a terminal.
        output_value : {"sentence_embedding", "token_embeddings", None}
            Vectors of texts; vectors of their tokens, special ones included; or a dict a text with both and
            ``input_ids``, ``token_type_ids``, ``attention_mask``. Nothing is padded.
        precision : {"float32", "int8", "uint8", "binary", "ubinary"}
            How numbers are stored. int8 and uint8 take their ranges from the texts of the call.
        convert_to_numpy : bool
            One array; else a list of tensors of torch.
        convert_to_tensor : bool
            One tensor of torch, on the CPU.
        device : str, optional
            The one the encoder is on; another is an error.
        normalize_embeddings : bool
            Scale every vector to length 1.
        truncate_dim : int, optional
            Keep the first dimensions alone; lengths are those that come of it.
        pool, chunk_size
            Processes of sentence-transformers: an error where they are given.
        **kwargs
            ``task`` has no effect, as on every model without a Router; anything else is an error.

        Returns
        -------
        numpy.ndarray, torch.Tensor or list
            ``(texts, width)`` float32; ``(width,)`` for one str. ``(0,)`` for an empty list. For
            ``"token_embeddings"`` a list of tensors ``(tokens, width)``.

        Raises
        ------
        TextTypeError, TextError
            For what is no text, naming its place.
        UsageError
            For a parameter that is off (a ValueError).
        UnsupportedError
            For one that is not computed here (a NotImplementedError).
        """
        _sentence.check_call(self, batch_size, device, pool, chunk_size, kwargs)
        stored = _sentence.check_precision(precision)
        truncate_dim = _words.count("truncate_dim", truncate_dim)
        prompt = self._prompt(prompt, prompt_name)
        single = _texts.is_single(inputs)
        texts = _texts.prepared(inputs)
        call = _sentence.Call(self._engine, texts, prompt, show_progress_bar)
        if not isinstance(output_value, (str, type(None))):
            raise _sentence.unknown_output(output_value)
        if output_value == "sentence_embedding":
            vectors = call.sentences(normalize_embeddings, truncate_dim)
            return _sentence.converted(vectors, stored, convert_to_numpy, convert_to_tensor, single)
        if output_value == "token_embeddings":
            return call.tokens(stored, single)
        if output_value is None:
            return call.everything(stored, truncate_dim, single)
        raise _sentence.unknown_output(output_value)

    def encode_query(
        self,
        inputs: Texts,
        prompt_name: str | None = None,
        prompt: str | None = None,
        batch_size: int = 32,
        show_progress_bar: bool | None = None,
        output_value: Literal["sentence_embedding", "token_embeddings"] | None = "sentence_embedding",
        precision: Precision = "float32",
        convert_to_numpy: bool = True,
        convert_to_tensor: bool = False,
        device: str | list[str] | None = None,
        normalize_embeddings: bool = False,
        truncate_dim: int | None = None,
        pool: dict[str, Any] | None = None,
        chunk_size: int | None = None,
        **kwargs: Any,
    ) -> Any:
        """`encode` with the prompt ``query``, where no other is named: see there for everything else."""
        if prompt_name is None and prompt is None:
            prompt_name = "query"
        return self.encode(
            inputs,
            prompt_name,
            prompt,
            batch_size,
            show_progress_bar,
            output_value,
            precision,
            convert_to_numpy,
            convert_to_tensor,
            device,
            normalize_embeddings,
            truncate_dim,
            pool,
            chunk_size,
            **{**kwargs, "task": "query"},
        )

    def encode_document(
        self,
        inputs: Texts,
        prompt_name: str | None = None,
        prompt: str | None = None,
        batch_size: int = 32,
        show_progress_bar: bool | None = None,
        output_value: Literal["sentence_embedding", "token_embeddings"] | None = "sentence_embedding",
        precision: Precision = "float32",
        convert_to_numpy: bool = True,
        convert_to_tensor: bool = False,
        device: str | list[str] | None = None,
        normalize_embeddings: bool = False,
        truncate_dim: int | None = None,
        pool: dict[str, Any] | None = None,
        chunk_size: int | None = None,
        **kwargs: Any,
    ) -> Any:
        """`encode` with the prompt ``document``, ``passage`` or ``corpus``, the first that there is, where no
        other is named: see there for everything else."""
        if prompt_name is None and prompt is None:
            prompt_name = next(name for name in _DOCUMENT if name in self.prompts)
        return self.encode(
            inputs,
            prompt_name,
            prompt,
            batch_size,
            show_progress_bar,
            output_value,
            precision,
            convert_to_numpy,
            convert_to_tensor,
            device,
            normalize_embeddings,
            truncate_dim,
            pool,
            chunk_size,
            **{**kwargs, "task": "document"},
        )

    def similarity(self, embeddings1: Any, embeddings2: Any) -> Any:
        """How alike each vector of one set is to each of another, by `similarity_fn_name`.

        Parameters
        ----------
        embeddings1, embeddings2 : array_like
            ``(n, width)`` and ``(m, width)``; a single vector is a set of one.

        Returns
        -------
        numpy.ndarray or torch.Tensor
            ``(n, m)`` float32, more being more alike; a tensor where a tensor was given. euclidean and
            manhattan are distances with the sign turned.
        """
        return _sentence.similarity(self.similarity_fn_name, embeddings1, embeddings2)

    def similarity_pairwise(self, embeddings1: Any, embeddings2: Any) -> Any:
        """How alike each vector is to the one at its place in another set.

        Parameters
        ----------
        embeddings1, embeddings2 : array_like
            ``(n, width)`` each.

        Returns
        -------
        numpy.ndarray or torch.Tensor
            ``(n,)`` float32, as in `similarity`.
        """
        return _sentence.similarity(self.similarity_fn_name, embeddings1, embeddings2, pairwise=True)

    def embed(
        self,
        texts: Texts,
        *,
        layers: _words.Layers = "last",
        combine: str = "stack",
        pool: str = "model",
        normalize: bool | None = None,
        dims: int | None = None,
        precision: str = "f32",
        max_tokens: int | None = None,
        overflow: str = "truncate",
        prompt: str | None = None,
        prompt_name: str | None = None,
        route: str = "auto",
        site: str = "hidden",
        final_norm: bool | None = None,
        show_progress_bar: bool | None = None,
    ) -> Embeddings:
        """Any layers of texts, combined and pooled as asked.

        Parameters
        ----------
        texts : str, sequence of str, or array of strings
            As in `encode`; one str is one text.
        layers : str, int or iterable of int
            ``"last"``, ``"all"`` (0 to L), ``"blocks"`` (1 to L), indices such as ``[0, 6, -1]``, or inclusive
            ranges such as ``"-4..-1"``.
        combine : str
            ``"stack"`` keeps the layers apart; ``"mean"``, ``"sum"``, ``"max"``, ``"concat"``,
            ``"weighted=w0,w1,.."``, ``"scalar-mix=w0,..[;gamma]"`` make one of them.
        pool : str
            ``"model"`` (what the checkpoint says), ``"tokens"``, ``"words"`` (``"words:first"``, ``:last``,
            ``:first-last``), ``"mean"``, ``"cls"``, ``"last"``, ``"max"``, ``"mean-sqrt"``,
            ``"weighted-mean"``, ``"mean-max"``, ``"pooler"``.
        normalize : bool, optional
            Scale every row to length 1, or do not, whatever the checkpoint says.
        dims : int, optional
            Keep the first dimensions, and scale to length 1 again.
        precision : {"f32", "f16", "int8", "ubinary"}
            How numbers are stored.
        max_tokens : int, optional
            Tokens of a text at most, special ones included; the default is `max_seq_length`.
        overflow : str
            What becomes of a longer text: ``"truncate"``, ``"error"``, ``"window"`` or ``"window:STRIDE"``.
        prompt, prompt_name : str, optional
            What is put before every text, or the name of one of `prompts`.
        route : {"auto", "stream", "fold"}
            Where pooling happens.
        site : str
            What is read of the chosen blocks: ``"hidden"`` (their output), ``"attn_out"``, ``"resid_mid"``,
            ``"mlp_out"``, ``"mlp_act"``, or ``"z"``, ``"q"``, ``"k"``, ``"v"``, whose rows are
            ``heads * head_dim`` numbers. All but ``"hidden"`` exist from layer 1 on.
        final_norm : bool, optional
            Whether state L is behind the final norm of models that have one; the default is that it is.
        show_progress_bar : bool, optional
            As in `encode`.

        Returns
        -------
        Embeddings
            ``vectors`` is ``(rows, layers, width)``, an axis of one layer dropped.

        Raises
        ------
        UsageError
            For an argument that is off, and for no texts at all.
        TextTypeError, TextError, TooLongError
            For a text, naming its place.

        Examples
        --------
        >>> out = encoder.embed(["one", "two words"], layers="all", pool="words")
        >>> out.vectors.shape, out.offsets.tolist()
        ((3, 7, 384), [0, 1, 3])
        """
        words: _native.Words = {
            "layers": _words.layers(layers),
            "combine": _words.word("combine", combine),
            "pool": _words.word("pool", pool),
            "normalize": _words.flag("normalize", normalize),
            "dims": _words.count("dims", dims),
            "precision": _words.word("precision", precision),
            "max_tokens": _words.count("max_tokens", max_tokens),
            "overflow": _words.word("overflow", overflow),
            "prompt": self._prompt(prompt, prompt_name),
            "route": _words.word("route", route),
            "site": _words.word("site", site),
            "final_norm": _words.flag("final_norm", final_norm),
        }
        ready = _texts.prepared(texts)
        count = len(ready) if hasattr(ready, "__len__") else None
        if count == 0:
            raise UsageError("texts is empty: there is nothing to embed")
        with progress(show_progress_bar, count) as report:
            return Embeddings(self._engine.embed(ready, words, report))

    def hidden_states(
        self,
        text: str,
        *,
        max_tokens: int | None = None,
        overflow: str = "truncate",
        prompt: str | None = None,
        prompt_name: str | None = None,
    ) -> npt.NDArray[np.float32]:
        """Every hidden state of one text.

        Parameters
        ----------
        text : str
            The text.
        max_tokens, overflow, prompt, prompt_name
            As in `embed`.

        Returns
        -------
        numpy.ndarray
            ``(L + 1, tokens, width)`` float32: state 0 goes into the first block, state L is Transformers'
            ``last_hidden_state``.
        """
        if not isinstance(text, str):
            raise UsageError(f"text is a {type(text).__name__}: hidden_states takes one str; embed takes many")
        out = self.embed(
            [text],
            layers="all",
            pool="tokens",
            normalize=False,
            max_tokens=max_tokens,
            overflow=overflow,
            prompt=prompt,
            prompt_name=prompt_name,
        )
        return out._states.transpose(1, 0, 2)

    def tokenize(
        self,
        texts: Texts,
        *,
        max_tokens: int | None = None,
        overflow: str = "truncate",
        prompt: str | None = None,
        prompt_name: str | None = None,
    ) -> list[dict[str, Any]]:
        """The tokens of texts, as ``everylayer tokenize --format jsonl`` prints them.

        Parameters
        ----------
        texts : str, sequence of str, or array of strings
            As in `encode`.
        max_tokens, overflow, prompt, prompt_name
            As in `embed`.

        Returns
        -------
        list of dict
            A text each: ``index``, ``text_tokens`` (how many), ``tokens_lost`` (how many were cut off),
            ``ids``, ``types``, ``tokens`` (``text``, ``id``, ``start``, ``end``, ``word`` each) and ``words``
            (``text``, ``start``, ``end`` each); characters are counted in Unicode code points.
        """
        words = _sentence.words(self._prompt(prompt, prompt_name))
        words["max_tokens"] = _words.count("max_tokens", max_tokens)
        words["overflow"] = _words.word("overflow", overflow)
        return [json.loads(row) for row in self._engine.tokenize(_texts.prepared(texts), words)]

    def info(self) -> dict[str, Any]:
        """What the model is and the memory it takes, as ``everylayer info --json`` prints it.

        Returns
        -------
        dict
            ``version``, ``adapters`` (the GPUs of this machine), ``model`` and ``memory`` (bytes).
        """
        report: dict[str, Any] = json.loads(self._engine.info())
        return report

    def explore(self, text: str, other: str | None = None) -> Page:
        """The page of ``everylayer explore``: each token across the layers, and how alike all pairs are.

        Parameters
        ----------
        text : str
            The text.
        other : str, optional
            A second one; the page then also compares the two at every layer.

        Returns
        -------
        Page
            Shown by a notebook where it stands; ``Page.save(path)`` writes it.
        """
        texts = [text] if other is None else [text, other]
        for one in texts:
            if not isinstance(one, str):
                raise TextTypeError(f"explore takes one str or two, not a {type(one).__name__}")
        # Says which is no Unicode.
        self.tokenize(texts)
        return Page(self._engine.explore(_texts.prepared(texts)))

    def _prompt(self, prompt: str | None, prompt_name: str | None) -> str | None:
        """The prompt of a call; None leaves it to the checkpoint."""
        if prompt is not None:
            if prompt_name is not None:
                logger.warning("prompt and prompt_name are both given: prompt is used")
            return _words.word("prompt", prompt)
        if prompt_name is None:
            return None
        prompts, prompt_name = self.prompts, _words.word("prompt_name", prompt_name)
        if prompt_name not in prompts:
            raise UsageError(f"prompt_name is {prompt_name!r}: the prompts of this model are {sorted(prompts)}")
        return prompts[prompt_name]


def _made(
    of: type[Encoder],
    model: str,
    device: str | None,
    dtype: str | None,
    batch_tokens: int | None,
    verify: str | None,
) -> Encoder:
    """An encoder from the arguments that it pickled as."""
    return of(model, device=device, dtype=dtype, batch_tokens=batch_tokens, verify=verify)
