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
from corpus import ASKED, EXAMPLES, LONG, MODEL, ROWS, check, text, vectors_of_one_process, write_parquet  # noqa: E402

pytestmark = pytest.mark.skipif(not LONG, reason="EVERYLAYER_LONG is not set")
ENV = {**os.environ, "EVERYLAYER_DEVICE": "cpu"}


def test_a_raylet_that_is_killed_loses_nothing(tmp_path, monkeypatch):
    from ray.cluster_utils import Cluster

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
    source, out = tmp_path / "corpus.parquet", tmp_path / "out"
    write_parquet(source)
    if how == "example":
        call = again = [sys.executable, str(EXAMPLES / "corpus.py"), str(source), str(out), "2"]
    else:
        call = [sys.executable, "-m", "everylayer", "embed", "-i", str(source), "--on", "ray", "--workers", "2"]
        call += ["--id", "id", "-o", str(out), "-m", MODEL, "-l", "all", "--combine", "mean", "--batch-tokens", "256"]
        again = [*call, "--resume"]
    first = subprocess.Popen(call, env=ENV)
    while not (out.exists() and list(out.glob("*.parquet"))):
        assert first.poll() is None, "it came to its end before it was killed"
        time.sleep(0.05)
    first.send_signal(signal.SIGKILL)
    first.wait()
    time.sleep(5)
    done = sum(rows_of(file) for file in out.glob("*.parquet"))
    assert 0 < done < ROWS
    subprocess.run(again, check=True, env=ENV, timeout=900)
    rows = pyarrow.parquet.read_table(out).to_pylist()
    assert sorted(row["id"] for row in rows) == list(range(ROWS))
    if how == "program":
        check(rows, vectors_of_one_process())


def rows_of(file):
    try:
        return pyarrow.parquet.read_metadata(file).num_rows
    except pyarrow.ArrowInvalid:
        # It was being written.
        return 0
