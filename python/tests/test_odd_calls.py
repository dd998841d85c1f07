"""Whatever a call is given, it works or raises an `Error` that says what is wrong: never a panic of Rust, which
would be no `Exception`."""

import itertools

import numpy as np
import pytest
from conftest import FIXTURES

from everylayer import Encoder, Error

ODD = [
    None, True, 5, -1, 2**62, 2**63, 2**64, 1.5, float("nan"), "", " ", "a", "\0", "\ud800", "9" * 400, "-" * 50, b"a", bytearray(b"a"),
    [], [[]], [()], [None], [b"a"], [{}], {}, {"a": 1}, set(), object(), type, np.int64(3), np.float32(1), np.zeros(2), np.zeros((2, 2)),
    np.array([["a"]]), np.array([None]), "-1..", "..", "0..99999999999999999999", "weighted=nan", "weighted=1e400,1", "concat,concat", "window:0",
    "window:18446744073709551615", "words:", "mean;", range(0), range(3), (i for i in range(2)), ("a", "b"), [("a", "b", "c")], ["a", ["b", "c"]],
]  # fmt: skip
NAMES = ["layers", "combine", "pool", "normalize", "dims", "precision", "max_tokens", "overflow", "prompt", "prompt_name", "route", "site", "final_norm"]
ENCODE = ["prompt_name", "prompt", "batch_size", "output_value", "precision", "device", "truncate_dim", "pool", "chunk_size"]


@pytest.fixture(scope="module")
def tiny():
    return Encoder(FIXTURES / "pipelines" / "cls", device="cpu")


def fine_or_error(call):
    try:
        call()
    except Error as error:
        assert isinstance(error.kind, str) and len(str(error)) > 8


def test_texts(tiny):
    for value in ODD:
        for method in (tiny.embed, tiny.encode, tiny.tokenize, tiny.hidden_states, tiny.explore):
            fine_or_error(lambda: method(value))


def test_arguments_of_embed(tiny):
    for name, value in itertools.product(NAMES, ODD):
        fine_or_error(lambda: tiny.embed(["a b", "c"], **{name: value}))


def test_arguments_of_encode(tiny):
    for name, value in itertools.product(ENCODE, ODD):
        fine_or_error(lambda: tiny.encode(["a b", "c"], **{name: value}))


def test_two_odd_arguments(tiny):
    odd = ["all", "tokens", "words", "concat", "mean", "pooler", "mean-max", 1, 2**62, "window", "error", "ubinary", "int8", "fold", 0]
    for (a, b), x, y in itertools.product(itertools.combinations(NAMES, 2), odd, odd):
        fine_or_error(lambda: tiny.embed(["a b", ""], **{a: x, b: y}))


@pytest.mark.parametrize("name", ["model", "device", "dtype", "batch_tokens", "verify"])
def test_encoders(name):
    for value in ODD:
        fine_or_error(lambda: Encoder(**{"model": FIXTURES / "pipelines" / "cls", "device": "cpu", name: value}))


def test_arrays_of_arrow(tiny):
    pyarrow = pytest.importorskip("pyarrow")
    odd = [
        pyarrow.array(["a", "b"]).dictionary_encode(), pyarrow.nulls(2), pyarrow.array([["a"]]), pyarrow.array([b"a"]), pyarrow.array([1.0]),
        pyarrow.array([], pyarrow.string()), pyarrow.array([{"a": "b"}]), pyarrow.chunked_array([], pyarrow.string()),
        pyarrow.StringArray.from_buffers(2, pyarrow.py_buffer(np.array([0, 9, 3], np.int32)), pyarrow.py_buffer(b"abc")),
        pyarrow.StringArray.from_buffers(1, pyarrow.py_buffer(np.array([0, 2], np.int32)), pyarrow.py_buffer(b"\xff\xfe")),
        pyarrow.record_batch({"a": ["b"]}), pyarrow.scalar("a"), pyarrow.schema([("a", pyarrow.string())]), pyarrow.string(),
    ]  # fmt: skip
    for value in odd:
        for method in (tiny.embed, tiny.encode, tiny.tokenize):
            fine_or_error(lambda: method(value))
