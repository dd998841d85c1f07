#!/usr/bin/env python3
"""burn's wgpu backend (Vulkan, Metal or Direct3D 12) over the bundled model.

    python benches/peers/burn_peer.py [--form auto] [--runs 5]

Needs cargo: burn/ is a project of its own. The first run is from the start of the process to the vectors of
8 x 128, told where the caches of burn's tuner and of the driver were empty. `--form auto` tries both forms
of the encoder (burn/src/model.rs) against burn's CPU backend and takes the fastest that is right; its tuner
takes minutes for each on a software adapter. Prints JSON; compare.py reads it.
"""

import json
import os
import struct
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np

from common import LOADS, MODEL, TRY, Feed, arguments, feeds, measure

HERE = Path(__file__).resolve().parent / "burn"
FORMS = ("encoder", "attention")
WIDTH = 384


def build() -> Path:
    """The program; cargo says on standard error what it does."""
    command = ["cargo", "build", "--release", "--quiet", "--locked", "--manifest-path", str(HERE / "Cargo.toml")]
    try:
        subprocess.run([*command, "--target-dir", str(HERE / "target")], check=True)
    except OSError as error:
        raise SystemExit(f"cargo: {error.strerror}") from None
    except subprocess.CalledProcessError:
        raise SystemExit("burn could not be built: cargo build --manifest-path benches/peers/burn/Cargo.toml") from None
    return HERE / "target" / "release" / "burn-peer"


class Burn:
    """A process of it, with caches in `folder`."""

    def __init__(self, program: Path, device: str, folder: str):
        # Outside any cargo project burn's tuner keeps its winners in the user's cache folder, where the
        # driver keeps its shaders too.
        env = {**os.environ, "XDG_CACHE_HOME": folder}
        self.started = time.perf_counter()
        self.process = subprocess.Popen(
            [program, str(MODEL), device], cwd=folder, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        said = self.process.stdout.readline()
        if not said:
            raise SystemExit(f"burn ended with {self.process.wait()} before it had a device")
        self.about = json.loads(said)

    def run(self, feed: Feed, form: str) -> np.ndarray:
        ids = feed["input_ids"].astype("<i4")
        lengths = feed["attention_mask"].sum(1).astype("<i4")
        self.process.stdin.write(struct.pack("<3I", FORMS.index(form), *ids.shape) + lengths.tobytes() + ids.tobytes())
        self.process.stdin.flush()
        size = len(lengths) * WIDTH * 4
        said = self.process.stdout.read(size)
        if len(said) != size:
            raise SystemExit(f"burn ended with {self.process.wait()} in the form {form}")
        return np.frombuffer(said, "<f4").reshape(-1, WIDTH)

    def end(self) -> None:
        self.process.stdin.close()
        self.process.wait()


def attempt(program: Path, device: str, form: str, wanted: np.ndarray) -> dict:
    feed = feeds(TRY, len(TRY))[0]
    with tempfile.TemporaryDirectory() as folder:
        burn = Burn(program, device, folder)
        got = burn.run(feed, form)
        start = time.perf_counter()
        burn.run(feed, form)
        ms = (time.perf_counter() - start) * 1e3
        burn.end()
    return {"form": form, "differs_from_cpu_by": float(np.abs(got - wanted).max()), "ms": round(ms, 1)}


def main() -> None:
    parser = arguments("Time burn's wgpu backend over the bundled model.")
    parser.add_argument("--form", choices=["auto", *FORMS], default="auto", help="see burn/src/model.rs")
    parser.add_argument("--software", action="store_true", help="an adapter that is a CPU, not the fastest GPU")
    parser.add_argument("--caches", type=Path, help="folder of its caches, kept (default one that goes)")
    parser.add_argument("--build", action="store_true", help="build it, run nothing")
    args = parser.parse_args()
    program, device = build(), "software" if args.software else "gpu"
    if args.build:
        return
    tried, best = [], args.form
    if args.form == "auto":
        with tempfile.TemporaryDirectory() as folder:
            cpu = Burn(program, "cpu", folder)
            wanted = cpu.run(feeds(TRY, len(TRY))[0], FORMS[0])
            cpu.end()
        tried = [attempt(program, device, form, wanted) for form in FORMS]
        right = [one for one in tried if one["differs_from_cpu_by"] < 1e-4]
        if not right:
            raise SystemExit(f"burn's wgpu differs from its CPU in every form: {tried}")
        best = min(right, key=lambda one: one["ms"])["form"]
    with tempfile.TemporaryDirectory() as folder:
        caches = args.caches or Path(folder)
        caches.mkdir(exist_ok=True)
        empty = not any(caches.iterdir())
        burn = Burn(program, device, str(caches))
        lengths, batch = LOADS["8x128"]
        burn.run(feeds(lengths, batch)[0], best)
        about = {**burn.about, "form": best, **({"tried": tried} if tried else {})}
        if empty:
            about["first_run_s"] = round(time.perf_counter() - burn.started, 2)
        measure(args, lambda feed: burn.run(feed, best), about)
        burn.end()


if __name__ == "__main__":
    main()
