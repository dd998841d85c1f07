"""Daft, the real one: the bits of one process, and reasons for texts that are bad."""

import subprocess
import sys

import numpy as np
import pytest

daft = pytest.importorskip("daft")
pytest.importorskip("pyarrow")

from corpus import ASKED, EXAMPLES, MODEL, ROWS, check, text, vectors_of_one_process  # noqa: E402

from everylayer import Encoder  # noqa: E402
from everylayer.daft import embed  # noqa: E402


@pytest.mark.parametrize("workers", [1, 2])
def test_the_bits_of_one_process(workers):
    df = daft.from_pydict({"id": list(range(ROWS)), "text": [text(i) for i in range(ROWS)]})
    out = df.with_column("vectors", embed(df["text"], workers=workers, batch_rows=64, **ASKED))
    check(out.to_pylist(), vectors_of_one_process())


def test_every_layer_and_rows_of_tokens():
    df = daft.from_pydict({"text": ["a b", "c"]})
    asked = {"model": MODEL, "device": "cpu", "layers": "all"}
    got = df.select(embed(df["text"], **asked).alias("all"), embed(df["text"], pool="tokens", **asked).alias("tokens"))
    encoder = Encoder(MODEL, device="cpu")
    for row, text in zip(got.to_pylist(), ["a b", "c"]):
        assert np.array_equal(np.array(row["all"], np.float32), encoder.embed(text, layers="all").vectors[0])
        assert np.array_equal(np.array(row["tokens"], np.float32), encoder.embed(text, layers="all", pool="tokens").vectors)


def test_bad_texts():
    df = daft.from_pydict({"text": ["good", None, "long " * 90]})
    asked = {"model": MODEL, "device": "cpu", "overflow": "error", "max_tokens": 16}
    found = df.select(embed(df["text"], **asked, on_error="reject").alias("found")).to_pydict()["found"]
    assert found[0]["rejected"] is None and len(found[0]["vectors"]) > 8
    assert found[1] == {"vectors": None, "rejected": "the text is null"}
    assert found[2]["vectors"] is None and "16" in found[2]["rejected"]
    with pytest.raises(Exception, match="null"):
        df.select(embed(df["text"], **asked)).collect()
    with pytest.raises(ValueError, match="on_error"):
        embed(df["text"], on_error="skip")


def test_the_example(tmp_path):
    source, out = tmp_path / "corpus.parquet", tmp_path / "out"
    daft.from_pydict({"id": [1, 2], "text": ["one", "two"]}).write_parquet(str(tmp_path / "in"))
    next((tmp_path / "in").glob("*.parquet")).rename(source)
    subprocess.run([sys.executable, str(EXAMPLES / "corpus_daft.py"), str(source), str(out)], check=True, timeout=120)
    rows = daft.read_parquet(f"{out}/*.parquet").sort("id").to_pylist()
    want = Encoder("bundled", device="cpu").embed(["one", "two"], layers="-4..-1", combine="mean").vectors
    assert np.array_equal(np.array([row["vectors"] for row in rows], np.float32), want)
