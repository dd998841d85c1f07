"""Spark, the real one (``local[2]``): each row once, the bits of one process, and reasons for texts that are bad.

Needs pyspark (456 MB) and Java 17: ``python/test --long`` installs the first.
"""

import os
import shutil
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("pyspark")
if shutil.which("java") is None:
    pytest.skip("there is no Java for Spark", allow_module_level=True)

from corpus import ASKED, EXAMPLES, MODEL, ROWS, check, text, vectors_of_one_process  # noqa: E402

from everylayer import Encoder  # noqa: E402


@pytest.fixture(scope="module")
def spark():
    from pyspark.sql import SparkSession

    os.environ["PYSPARK_PYTHON"] = sys.executable
    session = SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false").getOrCreate()
    session.sparkContext.setLogLevel("OFF")
    yield session
    session.stop()


def test_the_bits_of_one_process(spark):
    from everylayer.spark import embed

    df = spark.createDataFrame([(i, text(i)) for i in range(ROWS)], "id long, text string").repartition(5)
    rows = embed(df, **ASKED).collect()
    check(rows, vectors_of_one_process())
    assert all(row["text"] == text(row["id"]) for row in rows)


@pytest.mark.parametrize("capture", [{"layers": "all"}, {"pool": "tokens"}, {"layers": "all", "pool": "words"}, {"precision": "f16"}, {"precision": "ubinary"}])
def test_types(spark, capture):
    from everylayer.spark import embed

    df = spark.createDataFrame([("a b",), ("c",)], "text string")
    encoder = Encoder(MODEL, device="cpu")
    for row in embed(df, model=MODEL, device="cpu", **capture).collect():
        want = encoder.embed([row["text"], "x"], **capture)[0]
        assert np.array_equal(np.array(row["vectors"], dtype=np.float32), want.astype(np.float32))


def test_bad_texts(spark):
    from everylayer.spark import embed

    df = spark.createDataFrame([("good",), (None,), ("long " * 90,)], "text string")
    asked = {**ASKED, "overflow": "error", "max_tokens": 16}
    rows = {row["text"]: row for row in embed(df, **asked, on_error="reject").collect()}
    assert rows["good"]["rejected"] is None and len(rows["good"]["vectors"]) > 8
    assert rows[None]["rejected"] == "the text is null" and rows[None]["vectors"] is None
    assert "16" in rows["long " * 90]["rejected"]
    with pytest.raises(Exception, match="null"):
        embed(df, **asked).collect()
    with pytest.raises(ValueError, match="no column 'body'"):
        embed(df, "body")
    with pytest.raises(ValueError, match="'text' already"):
        embed(df, output="text")


def test_the_example(spark, tmp_path):
    source, out = str(tmp_path / "in"), str(tmp_path / "out")
    spark.createDataFrame([(1, "one"), (2, "two")], "id long, text string").write.parquet(source)
    subprocess.run([sys.executable, str(EXAMPLES / "corpus_spark.py"), source, out], check=True, timeout=300)
    rows = sorted(spark.read.parquet(out).collect(), key=lambda row: row["id"])
    want = Encoder("bundled", device="cpu").embed(["one", "two"], layers="-4..-1", combine="mean").vectors
    assert np.array_equal(np.array([row["vectors"] for row in rows], np.float32), want)
