"""The corpus of the tests of Ray, Spark and Daft, and what becomes of it in one process."""

import os
import pathlib

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "python" / "examples"
LONG = bool(os.environ.get("EVERYLAYER_LONG"))
ROWS = 20_000 if LONG else 600
MODEL = str(ROOT / "tests/fixtures/pipelines/cls")
CAPTURE = {"layers": "all", "combine": "mean"}
ASKED = {"model": MODEL, "device": "cpu", **CAPTURE}


def text(i):
    return f"text {i} " + "a b c " * (i % 7)


def vectors_of_one_process():
    from everylayer import Encoder

    return Encoder(MODEL, device="cpu").embed([text(i) for i in range(ROWS)], **CAPTURE).vectors


def check(rows, want):
    """Each row once, and the same bits; rows are dicts or what is read like them."""
    rows = sorted(rows, key=lambda row: row["id"])
    assert [row["id"] for row in rows] == list(range(len(want)))
    assert np.array_equal(np.stack([np.asarray(row["vectors"], dtype=np.float32) for row in rows]), want)


def write_parquet(folder, files=3, rows=ROWS, times=1):
    """The first rows of the corpus as a folder of files, each text some times."""
    import pyarrow
    import pyarrow.parquet

    folder.mkdir()
    for file in range(files):
        some = range(rows * file // files, rows * (file + 1) // files)
        table = pyarrow.table({"id": some, "text": [text(i) * times for i in some], "other": [f"o{i}" for i in some]})
        pyarrow.parquet.write_table(table, folder / f"{file}.parquet")
