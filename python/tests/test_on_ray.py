"""``everylayer embed --on ray``: the program hands its words to everylayer.ray."""

import json
import os
import subprocess
import sys

import pytest

pytest.importorskip("ray")
pytest.importorskip("pyarrow")
import pyarrow  # noqa: E402
import pyarrow.parquet  # noqa: E402
from corpus import MODEL, check, vectors_of_one_process, write_parquet  # noqa: E402


def run(*words):
    call = [sys.executable, "-m", "everylayer", "embed", "--on", "ray", "--id", "id", "-m", MODEL, *map(str, words)]
    done = subprocess.run(call, capture_output=True, text=True, timeout=300, env={**os.environ, "EVERYLAYER_DEVICE": "cpu"})
    # But for what Ray's core says on its own.
    done.stderr = "".join(line for line in done.stderr.splitlines(keepends=True) if "core_worker.cc" not in line)
    return done


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpus")
    write_parquet(folder / "corpus")
    return folder


def test_a_corpus_and_calls_after_it(corpus):
    source, out = corpus / "corpus", corpus / "out"
    words = ["-i", source, "-o", out, "-l", "all", "--combine", "mean", "--keep", "other", "--workers", "2"]
    done = run(*words)
    assert done.returncode == 0, done.stderr
    assert f"{out}: " in done.stderr and len(done.stderr.splitlines()) == 1
    table = pyarrow.parquet.read_table(out)
    assert table.column_names == ["id", "other", "vectors"]
    check(table.to_pylist(), vectors_of_one_process())
    assert all(row["other"] == f"o{row['id']}" for row in table.to_pylist())
    # What is there is not written over, and is not begun anew by other words.
    again = run(*words)
    assert again.returncode == 2 and "--resume" in again.stderr
    other = run(*words, "--resume", "--dims", "8")
    assert other.returncode == 2 and "differs in capture" in other.stderr
    same = run(*words, "--resume", "--quiet")
    assert (same.returncode, same.stderr) == (0, "")
    assert pyarrow.parquet.read_table(out).num_rows == table.num_rows


def test_rejects(tmp_path):
    source, out, bad = tmp_path / "in.parquet", tmp_path / "out", tmp_path / "bad.jsonl"
    pyarrow.parquet.write_table(pyarrow.table({"id": ["x", "y", "z"], "body": ["good", None, "long " * 90]}), source)
    words = ["-i", source, "-o", out, "--field", "body", "--overflow", "error", "--max-tokens", "16"]
    stopped = run(*words)
    assert stopped.returncode == 1 and "null" in stopped.stderr and "Traceback" not in stopped.stderr, stopped.stderr
    assert len(stopped.stderr.splitlines()) == 1
    words[3] = tmp_path / "other"
    done = run(*words, "--rejects", bad)
    assert done.returncode == 0 and "2 of them rejected" in done.stderr, done.stderr
    rows = {row["id"]: row["reason"] for row in map(json.loads, bad.read_text().splitlines())}
    assert rows["y"] == "the text is null" and "16" in rows["z"] and len(rows) == 2


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--field", "body"], "no column 'body': there are id, text, other"),
        (["--keep", "none"], "no column 'none'"),
        (["--worker-resources", "gpu"], "`gpu` is not NAME=N"),
        (["--shard", "1/2"], "--shard does not go with --on"),
        (["--coop", "--dtype", "f16"], "--coop does not go with --on"),
        (["-f", "npy"], "--on writes Parquet, not npy"),
        (["-l", "99"], "out of range"),
    ],
)
def test_errors(corpus, tmp_path, words, says):
    done = run("-i", corpus / "corpus", "-o", tmp_path / "out", *words)
    assert done.returncode == 2 and says in done.stderr and len(done.stderr.splitlines()) == 1, done.stderr
