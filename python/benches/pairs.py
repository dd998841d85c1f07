"""A call of 10,000 short texts from Python beside the same call in Rust, in turns, on the CPU executor.

usage: python pairs.py CALLS [--pairs N] [--texts N]

CALLS is what ``cargo build --release -p everylayer-python --example calls`` makes; the package is that of the
Python that runs this. Prints seconds by the clock and seconds of the processor of each call, and the median of
their ratios: 1.03 is asked for at most. The processor's are of use where others are at work on the machine.
"""

import argparse
import os
import pathlib
import resource
import statistics
import subprocess
import sys
import tempfile
import time

import everylayer


def processor_of(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def own_processor():
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("calls")
    parser.add_argument("--pairs", type=int, default=10)
    parser.add_argument("--texts", type=int, default=10_000)
    asked = parser.parse_args()
    texts = [f"short text {i} of thing {i % 97}" for i in range(asked.texts)]
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write("".join(f"{text}\n" for text in texts))
        file.flush()
        rust = subprocess.Popen([asked.calls, file.name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        encoder = everylayer.Encoder("bundled", device="cpu")

        def in_rust():
            before = processor_of(rust.pid)
            rust.stdin.write("\n")
            rust.stdin.flush()
            took = float(rust.stdout.readline())
            return took, processor_of(rust.pid) - before

        def in_python():
            before, started = own_processor(), time.perf_counter()
            vectors = encoder.embed(texts, show_progress_bar=False).vectors
            took = time.perf_counter() - started
            assert vectors.shape == (asked.texts, 384)
            return took, own_processor() - before

        in_rust(), in_python()
        clock, processor = [], []
        for pair in range(asked.pairs):
            # Each goes first in turn.
            calls = [in_rust, in_python] if pair % 2 else [in_python, in_rust]
            found = {call: call() for call in calls}
            (r, rc), (p, pc) = found[in_rust], found[in_python]
            clock.append(p / r)
            processor.append(pc / rc)
            print(f"pair {pair + 1:2}  Rust {r:.3f} s, {rc:.2f} of the processor  Python {p:.3f} s, {pc:.2f}  ratios {p / r:.3f}, {pc / rc:.3f}", flush=True)
        rust.stdin.close()
        rust.wait()
    print(f"everylayer {everylayer.__version__}, {asked.texts} texts, {encoder.device}, Python {sys.version.split()[0]}")
    print(f"median of the ratios: {statistics.median(clock):.4f} by the clock, {statistics.median(processor):.4f} of the processor")


main()
