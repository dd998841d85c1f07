"""Calls of `encode` and its twins that are held against sentence-transformers: what is called, with what.

`make_sentence_transformers.py` writes down what sentence-transformers gives for each;
`test_sentence_transformers.py` compares.
"""

import pathlib

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[2]
PIPELINES = ROOT / "tests" / "fixtures" / "pipelines"
MODELS = {
    "bundled": ROOT / "models" / "all-MiniLM-L6-v2",
    "prompts": PIPELINES / "prompts",
    "normalizing": PIPELINES / "dense_normalize_dense",
    "short": PIPELINES / "short",
    "token_modules": PIPELINES / "dense_tokens",
}
TEXTS = ["Hello, world!", "A longer text, with more words in it than the first.", "", "naïve café \U0001f600"]
ARRAYS = {
    "U": np.array(TEXTS),
    "O": np.array(TEXTS, dtype=object),
    "empty": [],
    "one": TEXTS[0],
    "tuple": tuple(TEXTS),
    "single in a list": TEXTS[:1],
    "pairs": [("Hello", "world"), ("a", "b c")],
    "texts": TEXTS,
}

PRECISIONS = ["float32", "int8", "uint8", "binary", "ubinary", None]


def _cases():
    for inputs in ARRAYS:
        yield "bundled", "encode", inputs, {}
    for precision in PRECISIONS:
        yield "prompts", "encode", "texts", {"precision": precision}
        yield "prompts", "encode", "texts", {"precision": precision, "truncate_dim": 8, "normalize_embeddings": True}
        yield "prompts", "encode", "texts", {"precision": precision, "convert_to_tensor": True}
        yield "prompts", "encode", "texts", {"precision": precision, "convert_to_numpy": False}
        yield "prompts", "encode", "texts", {"precision": precision, "output_value": "token_embeddings"}
        yield "prompts", "encode", "empty", {"precision": precision}
        yield "prompts", "encode", "one", {"precision": precision}
    for model in ("bundled", "prompts", "normalizing", "short"):
        for normalize in (False, True):
            for dims in (None, 5, 4096):
                yield model, "encode", "texts", {"normalize_embeddings": normalize, "truncate_dim": dims}
        for method in ("encode", "encode_query", "encode_document"):
            yield model, method, "texts", {}
            yield model, method, "one", {"prompt": "instruction: "}
        yield model, "encode", "texts", {"output_value": "token_embeddings"}
        yield model, "encode", "one", {"output_value": "token_embeddings"}
    for inputs in ("one", "empty", "texts"):
        for to in ({"convert_to_tensor": True}, {"convert_to_numpy": False}, {"convert_to_numpy": False, "convert_to_tensor": True}):
            yield "bundled", "encode", inputs, to
    yield "bundled", "encode", "empty", {"output_value": "token_embeddings"}
    yield "bundled", "encode", "one", {"output_value": None}
    yield "prompts", "encode", "one", {"output_value": None, "truncate_dim": 6}
    yield "prompts", "encode", "texts", {"prompt_name": "query"}
    yield "prompts", "encode", "texts", {"prompt_name": "document"}
    yield "prompts", "encode", "texts", {"prompt": ""}
    yield "prompts", "encode", "texts", {"prompt": "x ", "prompt_name": "query"}
    for size in (1, 2, 32):
        yield "prompts", "encode", "texts", {"batch_size": size}
    yield "prompts", "encode", "texts", {"task": "query"}
    # What raises there.
    for wrong in (
        {"precision": "float16"},
        {"precision": "float64"},
        {"batch_size": 0},
        {"batch_size": -1},
        {"batch_size": "many"},
        {"prompt_name": "none such"},
        {"output_value": "none_such"},
        {"unknown": 1},
        {"device": "no such device"},
    ):
        yield "prompts", "encode", "texts", wrong
        yield "prompts", "encode_query", "one", wrong
    yield "prompts", "encode", "single in a list", {"precision": "int8"}
    yield "prompts", "encode", "single in a list", {"precision": "uint8"}


CASES = list(_cases())


def described(value, name, numbers):
    """Class, type and shape of `value`; its numbers go to `numbers`."""
    if isinstance(value, dict):
        keep = sorted(set(value) & {"input_ids", "token_type_ids", "attention_mask", "token_embeddings", "sentence_embedding"})
        return {"class": "dict", "items": {key: described(value[key], f"{name}.{key}", numbers) for key in keep}}
    if isinstance(value, list):
        return {"class": "list", "items": [described(item, f"{name}.{i}", numbers) for i, item in enumerate(value)]}
    array = value if isinstance(value, np.ndarray) else value.numpy()
    numbers[name] = array
    return {"class": type(value).__name__, "dtype": str(array.dtype), "shape": list(array.shape)}


def compare(here, there, name, numbers, case):
    """`here` is what `described` says `there` of what sentence-transformers gave."""
    if there["class"] == "dict":
        assert type(here) is dict
        for key, item in there["items"].items():
            compare(here[key], item, f"{name}.{key}", numbers, case)
        return
    if there["class"] == "list":
        assert type(here) is list and len(here) == len(there["items"]), case
        for i, item in enumerate(there["items"]):
            compare(here[i], item, f"{name}.{i}", numbers, case)
        return
    assert type(here).__name__ == there["class"], case
    array = here.numpy() if there["class"] == "Tensor" else here
    assert (str(array.dtype), list(array.shape)) == (there["dtype"], there["shape"]), case
    want = numbers[name]
    if array.dtype.kind == "f":
        np.testing.assert_allclose(array, want, rtol=0, atol=1e-5, err_msg=case)
        return
    # A number at the border of two steps may round to either; there are few.
    if array.dtype == np.int64:
        assert np.array_equal(array, want), case
    elif "binary" in case:
        bits = np.unpackbits(array.view(np.uint8)) != np.unpackbits(want.view(np.uint8))
        assert bits.mean() < 0.01, case
    else:
        off = np.abs(array.astype(int) - want.astype(int))
        # The largest of a column is at the border of the last step.
        inner = want < np.iinfo(want.dtype).max - 1
        assert off.max() <= 1 and (off[inner] > 0).sum() <= max(1, 0.02 * off.size), case
