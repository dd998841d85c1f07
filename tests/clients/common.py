"""What the tests of clients share: a server of their own, the library's numbers, a line a check.

Each script prints `ok NAME` or `FAILED NAME: WHY` a check and ends with 1 where one failed.
`EVERYLAYER` is the binary, `target/release/everylayer` unless it says otherwise.
"""
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import threading
import traceback

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = os.environ.get("EVERYLAYER", str(ROOT / "target/release/everylayer"))
# One vector is read as the shortest decimal of its f32, so this is generous.
NEAR = 1e-6

_failed = []


def check(name, work):
    """Runs `work`, which asserts; one line says what came of it."""
    try:
        work()
        print(f"ok {name}", flush=True)
    except BaseException as error:  # a client may raise anything, SystemExit too
        if isinstance(error, KeyboardInterrupt):
            raise
        _failed.append(name)
        at = traceback.extract_tb(error.__traceback__)[-1]
        said = " ".join(str(error).split())[:300] or at.line
        print(f"FAILED {name}: {type(error).__name__}: {said} ({at.filename}:{at.lineno})", flush=True)


def end():
    """Ends the script as its checks did."""
    sys.exit(1 if _failed else 0)


def near(got, want, by=NEAR):
    """Asserts that two arrays have one shape and are at most `by` apart."""
    got, want = np.asarray(got, np.float64), np.asarray(want, np.float64)
    assert got.shape == want.shape, f"shape {got.shape}, wanted {want.shape}"
    far = float(np.abs(got - want).max()) if got.size else 0.0
    assert far <= by, f"{far} apart, {by} allowed"


def library(texts, *words, model="bundled"):
    """What `everylayer embed` makes of `texts` on the CPU."""
    with tempfile.TemporaryDirectory() as folder:
        out = pathlib.Path(folder) / "vectors.npy"
        call = [BINARY, "embed", *texts, "-m", model, "--device", "cpu", "--quiet", "-o", str(out), *words]
        subprocess.run(call, check=True, stderr=subprocess.DEVNULL)
        return np.load(out)


def free_port():
    """A port of the loopback that nobody has."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


class Server:
    """A server of its own, ended with the block."""

    def __init__(self, *words):
        call = [BINARY, "serve", *map(str, words)]
        env = {k: v for k, v in os.environ.items() if k != "EVERYLAYER_API_KEY"}
        self.child = subprocess.Popen(call, stderr=subprocess.PIPE, text=True, env=env)
        self.said = []
        for line in self.child.stderr:
            self.said.append(line)
            if "listening on " in line and "http" not in line or "listening on http" in line and "bert-as-service" not in words:
                break
        else:
            raise RuntimeError("the server did not start: " + "".join(self.said))
        # What else it says must not fill the pipe.
        threading.Thread(target=lambda: self.said.extend(self.child.stderr), daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.child.terminate()
        try:
            self.child.wait(20)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()

    def memory(self):
        """Resident bytes."""
        with open(f"/proc/{self.child.pid}/statm") as statm:
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def processor(self):
        """Seconds of processor time that it took."""
        with open(f"/proc/{self.child.pid}/stat") as stat:
            fields = stat.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def is_alive(self):
        return self.child.poll() is None


class Http(Server):
    """`everylayer serve` on a port of its own, on the CPU."""

    def __init__(self, *words):
        self.port = free_port()
        super().__init__("--port", self.port, "--device", "cpu", *words)
        self.base = f"http://127.0.0.1:{self.port}"


class Bert(Server):
    """`everylayer serve bert-as-service` on ports of its own, on the CPU."""

    def __init__(self, *words):
        self.port, self.port_out = free_port(), free_port()
        super().__init__(
            "bert-as-service", "-cpu", "-log", "error", "-port", self.port, "-port_out", self.port_out, *words
        )
        self.ports = {"port": self.port, "port_out": self.port_out}
