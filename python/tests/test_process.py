"""Threads, interrupts, processes, memory: what an encoder does in a program."""

import copy
import gc
import os
import pickle
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from conftest import FIXTURES

from everylayer import Encoder, Error

MANY = [f"text number {i} of some that take a while to embed " * 4 for i in range(4000)]


def test_an_interrupt_ends_a_call_and_leaves_the_encoder_usable():
    encoder = Encoder("bundled", batch_tokens=512)
    want = encoder.encode(MANY[:3])
    timer = threading.Timer(0.5, lambda: os.kill(os.getpid(), signal.SIGINT))
    timer.start()
    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        encoder.embed(MANY * 50, show_progress_bar=False)
    # A batch of 512 tokens takes a fraction of a second; 200,000 texts take minutes.
    assert time.monotonic() - started < 15
    assert np.array_equal(encoder.encode(MANY[:3]), want)


def test_other_threads_run_meanwhile(encoder):
    counted, done = 0, threading.Event()

    def call():
        encoder.embed(MANY[:300])
        done.set()

    thread = threading.Thread(target=call)
    thread.start()
    while not done.wait(0.001):
        counted += 1
    thread.join()
    assert counted > 20


def test_eight_threads_have_the_same_bits(encoder):
    want = encoder.embed(MANY[:40], layers="all").vectors
    found = [None] * 8

    def call(i):
        found[i] = encoder.embed(MANY[:40], layers="all").vectors

    threads = [threading.Thread(target=call, args=(i,)) for i in range(8)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert all(np.array_equal(one, want) for one in found)


def test_an_exception_of_a_progress_bar_is_the_callers(encoder):
    def report(done):
        raise LookupError("from the bar")

    from everylayer import _sentence

    with pytest.raises(LookupError, match="from the bar"):
        encoder._engine.embed(["a"], _sentence.words(None), report)


def test_it_pickles_as_its_arguments(tiny_folder, monkeypatch):
    monkeypatch.chdir(tiny_folder.parent)
    encoder = Encoder(tiny_folder.name, device="cpu", batch_tokens=100, verify="never")
    data = pickle.dumps(encoder)
    assert len(data) < 1000
    monkeypatch.chdir("/")
    again = pickle.loads(data)
    assert again.batch_tokens == 100
    assert np.array_equal(again.encode(["a b"]), encoder.encode(["a b"]))
    assert copy.deepcopy(encoder) is encoder


def test_exceptions_pickle(encoder):
    with pytest.raises(Error) as raised:
        encoder.embed("a", layers="9")
    again = pickle.loads(pickle.dumps(raised.value))
    assert type(again) is type(raised.value) and str(again) == str(raised.value) and again.kind == "usage"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_fork_is_refused():
    script = """
import os, sys
from everylayer import Encoder, ForkedError
encoder = Encoder(sys.argv[1])
for use in (lambda: encoder.encode("a"), lambda: encoder.tokenize("a"), lambda: Encoder(sys.argv[1])):
    if os.fork() == 0:
        try:
            use()
        except ForkedError as error:
            print(error.kind, "spawn" in str(error), flush=True)
        os._exit(0)
    os.wait()
print(encoder.encode("a").shape)
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(FIXTURES / "pipelines" / "cls")],
        capture_output=True, text=True, timeout=60,
    )
    assert done.stdout.split("\n")[:3] == ["forked True"] * 3, done
    assert done.returncode == 0


def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is read from /proc")
def test_memory_is_flat_over_calls_and_encoders(tiny_folder):
    encoder = Encoder(tiny_folder)
    texts = ["a b c d"] * 500

    def calls(times):
        for _ in range(times):
            encoder.embed(texts, layers="all")

    def encoders(times):
        for _ in range(times):
            Encoder(tiny_folder).encode(["a"])

    for work, times in ((calls, 100), (encoders, 1000)):
        work(20)
        gc.collect()
        before = resident()
        work(times)
        gc.collect()
        assert resident() - before < 8 << 20, work.__name__


def test_nothing_but_numpy_is_imported():
    script = (
        "import sys; import numpy; before = set(sys.modules); import everylayer;"
        "print(sorted({name.partition('.')[0] for name in set(sys.modules) - before} - set(sys.stdlib_module_names)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() in ("['everylayer']", "['everylayer', 'numpy']")
