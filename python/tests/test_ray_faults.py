"""What Ray loses is done again: a raylet of two is killed in the middle, a driver is killed and called again.

Takes minutes, and runs with EVERYLAYER_LONG=1.
"""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

ray = pytest.importorskip("ray")
pytest.importorskip("pyarrow")
import pyarrow.parquet  # noqa: E402
from ray.cluster_utils import Cluster  # noqa: E402
from corpus import ASKED, EXAMPLES, LONG, ROWS, check, text, vectors_of_one_process, write_parquet  # noqa: E402

from everylayer import Encoder  # noqa: E402

pytestmark = pytest.mark.skipif(not LONG, reason="EVERYLAYER_LONG is not set")
ENV = {**os.environ, "EVERYLAYER_DEVICE": "cpu"}


def test_a_raylet_that_is_killed_loses_nothing(tmp_path, monkeypatch):
    import everylayer.ray

    class Slow(everylayer.ray.Embed):
        """Writes down the node of each of its batches."""

        def __call__(self, table):
            node = ray.get_runtime_context().get_node_id()
            with open(tmp_path / node, "a") as file:
                file.write("batch\n")
            time.sleep(0.02)
            return super().__call__(table)

    def batches(node):
        path = tmp_path / node
        return len(path.read_text().splitlines()) if path.exists() else 0

    monkeypatch.setattr(everylayer.ray, "Embed", Slow)
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 4, "include_dashboard": False})
    second = cluster.add_node(num_cpus=4)
    killed_at = []

    def kill():
        # In mid-run: after some of its batches, long before the last.
        while batches(second.node_id) < 10:
            time.sleep(0.05)
        killed_at.append(batches(second.node_id))
        cluster.remove_node(second, allow_graceful=False)

    try:
        ray.init(address=cluster.address, log_to_driver=False, logging_level="error")
        ray.data.DataContext.get_current().enable_progress_bars = False
        rows = [{"id": i, "text": text(i)} for i in range(ROWS)]
        out = everylayer.ray.embed(
            ray.data.from_items(rows, override_num_blocks=40), **ASKED, workers=3, num_cpus=2, batch_rows=100
        )
        killer = threading.Thread(target=kill, daemon=True)
        killer.start()
        found = out.take_all()
        assert killed_at and killed_at[0] < ROWS // 100
        check(found, vectors_of_one_process())
    finally:
        ray.shutdown()
        cluster.shutdown()


@pytest.mark.parametrize("how", ["example", "program"])
def test_a_driver_that_is_killed_goes_on(tmp_path, how):
    source, out, rows = tmp_path / "corpus", tmp_path / "out", ROWS // 10
    # Both have the bundled model, which takes its time, and texts of some 150 tokens: many calls of each worker.
    write_parquet(source, files=40, rows=rows, times=12)
    if how == "example":
        call = again = [sys.executable, str(EXAMPLES / "corpus.py"), str(source), str(out), "2"]
    else:
        call = [sys.executable, "-m", "everylayer", "embed", "-i", str(source), "--on", "ray", "--workers", "2"]
        call += ["--id", "id", "-o", str(out), "-l", "-4..-1", "--combine", "mean"]
        again = [*call, "--resume"]
    # The cluster outlives its driver, and has room for more than the workers.
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 6, "include_dashboard": False})
    try:
        done = killed(call, {**ENV, "RAY_ADDRESS": cluster.address}, out)
        assert 0 < done < rows
        print(f"{how}: {done} of {rows} rows were written when it was killed")
        subprocess.run(again, check=True, env={**ENV, "RAY_ADDRESS": cluster.address}, timeout=900)
    finally:
        cluster.shutdown()
    texts = [text(i) * 12 for i in range(rows)]
    want = Encoder("bundled", device="cpu").embed(texts, layers="-4..-1", combine="mean").vectors
    check(pyarrow.parquet.read_table(out).to_pylist(), want)


def killed(call, env, out):
    """Rows that a driver has written when it is killed after the first file."""
    first = subprocess.Popen(call, env=env)
    while not any(rows_of(file) for file in out.glob("*.parquet")):
        assert first.poll() is None, "it came to its end before it was killed"
        time.sleep(0.05)
    first.send_signal(signal.SIGKILL)
    first.wait()
    # What runs on for a while without it.
    time.sleep(5)
    return sum(rows_of(file) for file in out.glob("*.parquet"))


def rows_of(file):
    try:
        return pyarrow.parquet.read_metadata(file).num_rows
    except pyarrow.ArrowInvalid:
        # It was being written.
        return 0
