"""Results as tables of Arrow, pandas and xarray, and in a notebook."""

import html.parser

import numpy as np
import pytest

TEXTS = ["Hello, world!", "unbelievable <b> words"]
CAPTURES = [
    {},
    {"layers": "all"},
    {"layers": "-2..-1", "combine": "mean"},
    {"layers": "0,3", "pool": "tokens"},
    {"layers": "0,3", "pool": "words"},
    {"layers": "last", "pool": "words"},
    {"layers": "0,3", "precision": "f16"},
    {"layers": "0,3", "pool": "tokens", "precision": "ubinary"},
]


@pytest.fixture(params=CAPTURES, ids=str)
def out(encoder, request):
    return encoder.embed(TEXTS, **request.param)


def test_arrow(out, encoder):
    pyarrow = pytest.importorskip("pyarrow")
    table = out.to_arrow()
    assert table.column("index").to_pylist() == [0, 1] and table.column("text_tokens").to_pylist() == out.text_tokens.tolist()
    got = table.column("vectors").to_pylist()
    for i in range(2):
        assert np.array_equal(np.array(got[i], dtype=out.vectors.dtype), out[i])
    if out.rows == "words":
        assert [word["text"] for row in table.column("words").to_pylist() for word in row] == list(out.words)
    if out.rows == "tokens":
        tokens = [token for row in table.column("tokens").to_pylist() for token in row]
        assert [token["text"] for token in tokens] == list(out.tokens)
        assert [[token["start"], token["end"]] for token in tokens] == out.spans.tolist()
        assert [-1 if token["word"] is None else token["word"] for token in tokens] == out.word_ids.tolist()
    batch = pyarrow.record_batch(out)
    assert batch.schema == table.schema and batch.num_rows == 2
    # One text is laid out in another way inside.
    one = encoder.embed(TEXTS[1], layers=out.layers, combine=out.combine, pool=out.pool, precision=out.precision)
    assert one.to_arrow().column("vectors").to_pylist() == got[1:]


def test_polars_reads_it(encoder):
    polars = pytest.importorskip("polars")
    out = encoder.embed(TEXTS)
    assert np.array_equal(polars.DataFrame(out)["vectors"].to_numpy(), out.vectors)


def test_pandas(out):
    pytest.importorskip("pandas")
    frame = out.to_pandas()
    assert np.array_equal(frame.to_numpy().reshape(out._states.shape), out._states)
    assert frame.columns.name == "dim"
    rows = {"texts": ["text"], "tokens": ["text", "row", "token"], "words": ["text", "row", "word"]}[out.rows]
    assert list(frame.index.names) == rows + (["layer"] if out.combine == "stack" else [])
    if out.combine == "stack":
        layer = out.layers[-1]
        assert np.array_equal(frame.xs(layer, level="layer").to_numpy(), out._states[:, -1])


def test_xarray(out):
    pytest.importorskip("xarray")
    array = out.to_xarray()
    first = "text" if out.rows == "texts" else "row"
    assert array.dims == ((first, "layer", "dim") if out.combine == "stack" else (first, "dim"))
    if out.combine == "stack":
        assert np.array_equal(array.sel(layer=out.layers[-1]).values, out._states[:, -1])
    if out.rows == "words":
        assert list(array.word.values) == list(out.words) and array.start.values.tolist() == out.spans[:, 0].tolist()
    assert array.text.values.tolist() == np.repeat([0, 1], np.diff(out.offsets)).tolist()


class Tags(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.seen = []

    def handle_starttag(self, tag, attributes):
        self.seen.append(tag)


def test_a_notebook_shows_it(out):
    tags = Tags()
    tags.feed(out._repr_html_())
    rows, layers, _ = out._states.shape
    assert tags.seen.count("rect") == rows * layers and "table" in tags.seen
    # What comes from texts is text.
    assert "b" not in tags.seen


def test_explore(encoder, tmp_path):
    page = encoder.explore("one text", "another")
    assert page.html.lower().startswith("<!doctype html") and "another" in page.html
    page.save(tmp_path / "page.html")
    assert (tmp_path / "page.html").read_text(encoding="utf-8") == page.html
    tags = Tags()
    tags.feed(page._repr_html_())
    assert tags.seen == ["iframe"]
    with pytest.raises(TypeError, match="not a int"):
        encoder.explore("a", 5)


def test_packages_that_are_missing_are_named(encoder, monkeypatch):
    import sys

    out = encoder.embed("a")
    for name, call in [("pandas", out.to_pandas), ("pyarrow", out.to_arrow), ("xarray", out.to_xarray)]:
        monkeypatch.setitem(sys.modules, name, None)
        with pytest.raises(ImportError, match=rf"needs {name}.*everylayer\[") as raised:
            call()
        assert raised.value.kind == "missing_package"
