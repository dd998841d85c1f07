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
