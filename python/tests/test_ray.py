"""Ray Data, the real one: each row once, and the bits of one process, whatever becomes of the workers.

Takes minutes with EVERYLAYER_LONG=1: 20,000 rows over 1, 2 and 4 actors, an actor killed, a driver killed and
resumed. Without it a smaller corpus over two actors.
"""

import os
import pathlib
import subprocess
import sys
import time

import numpy as np
import pytest

ray = pytest.importorskip("ray")
pyarrow = pytest.importorskip("pyarrow")
import pyarrow.parquet  # noqa: E402

from everylayer import Encoder  # noqa: E402

LONG = bool(os.environ.get("EVERYLAYER_LONG"))
ROWS = 20_000 if LONG else 600
MODEL = str(pathlib.Path(__file__).resolve().parents[2] / "tests/fixtures/pipelines/cls")
EXAMPLE = pathlib.Path(__file__).resolve().parents[1] / "examples" / "corpus.py"
QUIET = {"env_vars": {"EVERYLAYER_DEVICE": "cpu", "PYTHONDONTWRITEBYTECODE": "1"}}


def text(i):
    return f"text {i} " + "a b c " * (i % 7)


@pytest.fixture(scope="module")
def cluster():
    ray.init(num_cpus=4, include_dashboard=False, log_to_driver=False, runtime_env=QUIET, logging_level="error")
    ray.data.DataContext.get_current().enable_progress_bars = False
    yield
    ray.shutdown()


@pytest.fixture(scope="module")
def want():
    encoder = Encoder(MODEL, device="cpu")
    return encoder.embed([text(i) for i in range(ROWS)], layers="all", combine="mean").vectors


def corpus(blocks=8):
    rows = [{"id": i, "text": text(i)} for i in range(ROWS)]
    return ray.data.from_items(rows, override_num_blocks=blocks)


def check(rows, want):
    rows = sorted(rows, key=lambda row: row["id"])
    assert [row["id"] for row in rows] == list(range(ROWS))
    assert np.array_equal(np.stack([np.asarray(row["vectors"], dtype=np.float32) for row in rows]), want)


@pytest.mark.parametrize("workers", [1, 2, 4] if LONG else [2])
def test_the_bits_of_one_process(cluster, want, workers):
    from everylayer.ray import embed

    out = embed(corpus(), model=MODEL, layers="all", combine="mean", workers=workers, device="cpu")
    check(out.take_all(), want)


def test_rejects(cluster):
    from everylayer.ray import embed

    rows = [{"text": "good"}, {"text": None}, {"text": "long " * 90}, {"text": "fine"}]
    asked = {"model": MODEL, "device": "cpu", "overflow": "error", "max_tokens": 16}
    out = embed(ray.data.from_items(rows), **asked, on_error="reject").take_all()
    by_text = {row["text"]: row for row in out}
    assert by_text[None]["rejected"] == "the text is null" and by_text[None]["vectors"] is None
    assert "16" in by_text["long " * 90]["rejected"]
    assert by_text["good"]["rejected"] is None and len(by_text["good"]["vectors"]) > 8
    with pytest.raises(Exception, match="null"):
        embed(ray.data.from_items(rows), **asked).take_all()


def test_an_actor_that_is_killed_loses_nothing(cluster, want, tmp_path, monkeypatch):
    import everylayer.ray

    mark = tmp_path / "died"

    class Mortal(everylayer.ray.Embed):
        """Ends its process once, in the middle of the corpus."""

        def __call__(self, table):
            if table.column("id")[0].as_py() > ROWS // 2 and not mark.exists():
                mark.touch()
                os._exit(1)
            return super().__call__(table)

    monkeypatch.setattr(everylayer.ray, "Embed", Mortal)
    asked = {"model": MODEL, "device": "cpu", "layers": "all", "combine": "mean"}
    check(everylayer.ray.embed(corpus(), **asked, workers=2, batch_rows=50).take_all(), want)
    assert mark.exists()


@pytest.mark.skipif(not LONG, reason="EVERYLAYER_LONG is not set")
def test_a_driver_that_is_killed_goes_on(tmp_path):
    source = tmp_path / "corpus.parquet"
    table = pyarrow.table({"id": range(ROWS), "text": [text(i) for i in range(ROWS)]})
    pyarrow.parquet.write_table(table, source, row_group_size=500)
    out = tmp_path / "out"
    call = [sys.executable, str(EXAMPLE), str(source), str(out), "2"]
    first = subprocess.Popen(call, env={**os.environ, "EVERYLAYER_DEVICE": "cpu"})
    while not (out.exists() and list(out.glob("*.parquet"))):
        assert first.poll() is None
        time.sleep(0.1)
    first.kill()
    first.wait()
    done = sum(pyarrow.parquet.read_metadata(file).num_rows for file in out.glob("*.parquet"))
    assert 0 < done < ROWS
    subprocess.run(call, check=True, env={**os.environ, "EVERYLAYER_DEVICE": "cpu"}, timeout=600)
    rows = pyarrow.parquet.read_table(out).to_pylist()
    assert sorted(row["id"] for row in rows) == list(range(ROWS))
