"""A column of texts as a worker runs it, without an engine around it."""

import numpy as np
import pytest

pyarrow = pytest.importorskip("pyarrow")

from everylayer import Error  # noqa: E402
from everylayer._column import ColumnEmbedder, rows_of_a_batch  # noqa: E402

TEXTS = ["one", None, "two words", "long " * 50, "three"]


def test_texts_that_are_bad_have_a_reason(encoder):
    embedder = ColumnEmbedder({"device": "cpu"}, {"overflow": "error", "max_tokens": 20}, "reject")
    vectors, reasons = embedder(pyarrow.chunked_array([TEXTS[:2], TEXTS[2:]]))
    assert vectors.is_valid().to_pylist() == [True, False, True, False, True]
    assert reasons.to_pylist()[1] == "the text is null" and "52" in reasons.to_pylist()[3]
    assert [reasons.to_pylist()[i] for i in (0, 2, 4)] == [None] * 3
    want = encoder.encode(["one", "two words", "three"])
    assert np.array_equal(np.array(vectors.drop_null().to_pylist(), dtype=np.float32), want)


def test_nothing_but_bad_texts_and_nothing_at_all():
    embedder = ColumnEmbedder({"device": "cpu"}, {"layers": "all"}, "reject")
    vectors, reasons = embedder(pyarrow.array([None, None], pyarrow.string()))
    assert vectors.null_count == 2 and reasons.null_count == 0
    assert str(vectors.type).count("fixed_size_list") == 2
    vectors, _ = embedder(pyarrow.array([], pyarrow.string()))
    assert len(vectors) == 0 and str(vectors.type).count("fixed_size_list") == 2


def test_raise():
    embedder = ColumnEmbedder({"device": "cpu"}, {"overflow": "error", "max_tokens": 20})
    with pytest.raises(Error, match="text 3"):
        embedder(pyarrow.array([text or "" for text in TEXTS]))
    with pytest.raises(ValueError, match="on_error"):
        ColumnEmbedder({}, {}, "skip")


def test_what_is_no_fault_of_a_text_is_raised():
    with pytest.raises(ValueError, match="out of range"):
        ColumnEmbedder({"device": "cpu"}, {"layers": "99"}, "reject")(pyarrow.array(["a"]))


def test_rows_of_a_batch():
    short, long = rows_of_a_batch(["word"] * 9, None, {}), rows_of_a_batch(["word " * 400], None, {})
    assert 16 <= long < short <= 65536
    assert rows_of_a_batch(["word"], None, {"pool": "tokens"}) < short
    assert rows_of_a_batch([], 100, {}) >= 16
