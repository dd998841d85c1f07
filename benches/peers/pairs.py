#!/usr/bin/env python3
"""everylayer and ONNX Runtime on the CPU in one process, in turns of a quarter of a second.

    python benches/peers/pairs.py [1x16 1x128 8x128]

Needs requirements.txt and the wheel of python/build. On a machine whose speed changes from second to second the
ratio of neighbouring turns says most. Our side tokenises its texts, the other gets ids.
"""

import os
import statistics
import sys
import time

import onnxruntime as ort
from common import feeds, text
from graph import graph

import everylayer

TURNS, SECONDS, PAUSE = 12, 0.25, 0.03


def turn(call) -> tuple[float, float]:
    """Least and median milliseconds of the calls of one turn."""
    start, times = time.perf_counter(), []
    while time.perf_counter() - start < SECONDS:
        before = time.perf_counter()
        call()
        times.append((time.perf_counter() - before) * 1e3)
    # Threads of ONNX Runtime spin for a while.
    time.sleep(PAUSE)
    return min(times), statistics.median(times)


def main() -> None:
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = os.cpu_count(), 1
    session = ort.InferenceSession(str(graph("fused")), options, providers=["CPUExecutionProvider"])
    encoder = everylayer.Encoder("bundled", device="cpu")
    print(f"everylayer {everylayer.__version__}, onnxruntime {ort.__version__}, {os.cpu_count()} processors")
    for load in sys.argv[1:] or ["1x16", "1x128", "8x128"]:
        batch, tokens = map(int, load.split("x"))
        feed, texts = feeds([tokens] * batch, batch)[0], [text(tokens)] * batch
        ours, theirs = lambda: encoder.embed(texts), lambda: session.run(None, feed)
        ours(), theirs()
        turns = [(turn(ours), turn(theirs)) for _ in range(TURNS)]
        least, medians = ([b[i] / a[i] for a, b in turns] for i in (0, 1))
        print(
            f"{load:6} ours {statistics.median(a[1] for a, _ in turns):.2f} ms, theirs {statistics.median(b[1] for _, b in turns):.2f} ms;"
            f" theirs over ours {statistics.median(medians):.2f} ({min(medians):.2f} to {max(medians):.2f}), of least times {statistics.median(least):.2f}"
        )


if __name__ == "__main__":
    main()
