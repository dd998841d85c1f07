"""What texts may be in, and what is refused: by its class, and naming the place."""

import numpy as np
import pytest

from everylayer import Encoder, Error, NotFoundError, TextError, TextTypeError, UsageError

TEXTS = ["one", "", "zwei Wörter \U0001f600"]


@pytest.fixture(scope="module")
def want(encoder):
    return encoder.encode(TEXTS)


def _forms():
    yield "list", lambda: TEXTS
    yield "tuple", lambda: tuple(TEXTS)
    yield "generator", lambda: (text for text in TEXTS)
    yield "numpy U", lambda: np.array(TEXTS)
    yield "numpy object", lambda: np.array(TEXTS, dtype=object)
    if hasattr(np.dtypes, "StringDType"):
        yield "numpy StringDType", lambda: np.array(TEXTS, dtype=np.dtypes.StringDType())
    yield "str subclasses", lambda: [type("Text", (str,), {})(text) for text in TEXTS]
    for dtype in ("object", "string", "str", "string[pyarrow]"):
        yield f"pandas {dtype}", lambda dtype=dtype: pytest.importorskip("pandas").Series(TEXTS, dtype=dtype)
    for kind in ("string", "large_string", "string_view"):
        yield f"arrow {kind}", lambda kind=kind: arrow(kind)
        yield f"arrow chunked {kind}", lambda kind=kind: chunked(kind)
    yield "arrow slice", lambda: pytest.importorskip("pyarrow").array(["x", *TEXTS, "y"])[1:4]
    yield "polars", lambda: pytest.importorskip("polars").Series(TEXTS)


def arrow(kind):
    pyarrow = pytest.importorskip("pyarrow")
    return pyarrow.array(TEXTS, getattr(pyarrow, kind)())


def chunked(kind):
    return pytest.importorskip("pyarrow").chunked_array([arrow(kind)[:1], arrow(kind)[1:]])


@pytest.mark.parametrize(("name", "form"), list(_forms()), ids=lambda of: of if isinstance(of, str) else "")
def test_forms(encoder, want, name, form):
    assert np.array_equal(encoder.encode(form()), want)
    assert np.array_equal(encoder.embed(form()).vectors, want)


def test_one_str(encoder, want):
    assert np.array_equal(encoder.encode("one"), want[0])
    assert np.array_equal(encoder.embed("one").vectors, want[:1])


@pytest.mark.parametrize(
    ("texts", "of", "says"),
    [
        (["a", None], TypeError, r"texts\[1\] is a NoneType"),
        (["a", 5], TypeError, r"texts\[1\] is a int"),
        (["a", b"b"], TypeError, r"texts\[1\] is a bytes"),
        (["a", "b", "\ud800x"], ValueError, r"texts\[2\].*surrogate at character 0"),
        ([("a", "b\udfff")], ValueError, r"texts\[0\]\[1\].*surrogate at character 1"),
        ([("a", "b", "c")], TypeError, r"texts\[0\] is a tuple"),
        ([("a", None)], TypeError, r"texts\[0\] is a tuple"),
        ([{"text": "a"}], TypeError, r"texts\[0\] is a dict"),
        ({"text": "a"}, TypeError, "texts is a dict"),
        ({"a"}, TypeError, "texts is a set"),
        (b"bytes", TypeError, "texts is bytes"),
        (None, TypeError, "texts is None"),
        (7, TypeError, "texts is a int"),
        (np.array([["a", "b"]]), TypeError, "2 dimensions"),
        (np.array("a"), TypeError, "0 dimensions"),
        (np.array([1.5]), TypeError, "float64"),
        (np.array(["a", None], dtype=object), TypeError, r"texts\[1\] is a NoneType"),
    ],
)
def test_what_is_no_text(encoder, texts, of, says):
    for call in (encoder.encode, encoder.embed, encoder.tokenize):
        with pytest.raises(of, match=says) as raised:
            call(texts)
        assert isinstance(raised.value, Error)
        assert raised.value.kind == ("type" if of is TypeError else "text")
        assert isinstance(raised.value, TextTypeError if of is TypeError else TextError)


def test_arrow_that_is_no_text(encoder):
    pyarrow = pytest.importorskip("pyarrow")
    with pytest.raises(TextTypeError, match=r"texts\[2\] is null"):
        encoder.embed(pyarrow.chunked_array([["a"], ["b", None]]))
    with pytest.raises(TextTypeError, match="Int64"):
        encoder.embed(pyarrow.array([1, 2]))
    with pytest.raises(TextTypeError, match="name the column"):
        encoder.embed(pyarrow.table({"text": TEXTS}))
    pandas = pytest.importorskip("pandas")
    with pytest.raises(TextTypeError, match="name the column"):
        encoder.embed(pandas.DataFrame({"text": TEXTS}))
    with pytest.raises(TextTypeError, match=r"texts\[1\]"):
        encoder.embed(pandas.Series(["a", None]))


def test_no_texts(encoder):
    assert encoder.encode([]).shape == (0,)
    for none in ([], (), np.array([], dtype=str)):
        with pytest.raises(UsageError, match="texts is empty"):
            encoder.embed(none)


@pytest.mark.parametrize(
    ("arguments", "of", "kind"),
    [
        ({"model": "/no/such/folder"}, FileNotFoundError, "not_found"),
        ({"model": 5}, ValueError, "usage"),
        ({"device": "no such device"}, RuntimeError, "no_adapter"),
        ({"dtype": "f64"}, ValueError, "usage"),
        ({"batch_tokens": 0}, ValueError, "usage"),
        ({"batch_tokens": "many"}, ValueError, "usage"),
        ({"device": 5}, ValueError, "usage"),
        ({"verify": "sometimes"}, ValueError, "usage"),
        ({"verify": True}, ValueError, "usage"),
    ],
)
def test_encoders_that_cannot_be(arguments, of, kind):
    with pytest.raises(of) as raised:
        Encoder(**{"model": "bundled", **arguments})
    assert isinstance(raised.value, Error) and raised.value.kind == kind


def test_a_damaged_model(tmp_path):
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(Error, match="config.json"):
        Encoder(tmp_path)
    assert issubclass(NotFoundError, FileNotFoundError)
