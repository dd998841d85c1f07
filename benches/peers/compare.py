#!/usr/bin/env python3
"""everylayer and its peers over the same texts, in turn (A B A B ...), the ratio pair by pair: on a
shared machine single figures mean little.

    .venv/bin/python benches/peers/compare.py --device radeon
    .venv/bin/python benches/peers/compare.py --device llvmpipe --mesa /tmp/mesa25 --pairs 3 --runs 1

A peer on a GPU meets everylayer on --device, a peer on the CPU meets everylayer on the CPU. What is
not there is said and left out. The vectors of the ragged texts are compared too; a disagreement
makes the exit code 1. The table goes to standard output and to benches/results/.
"""

import argparse
import datetime
import json
import os
import platform
import re
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from common import LOADS, RAGGED, text

ROOT = Path(__file__).resolve().parents[2]
PEERS = ("ort-webgpu", "burn", "torch-cuda", "torch-mps", "ort-cpu", "torch-cpu")
# Of a component of a sentence vector, and of the cosine of two of them. Both sides are f32.
FURTHEST, NEAREST = 1e-4, 0.9999


class Skip(Exception):
    """Why something does not take part."""


class NoPeer(Exception):
    """All were skipped, and it was said why."""


@dataclass
class Peer:
    name: str
    device: str  # what everylayer runs on against it
    command: list[str]
    ratios: dict[str, list[float]] = field(default_factory=dict)


def call(command: list[str], env: dict[str, str] | None = None) -> str:
    """What it prints; its last words where it fails."""
    try:
        done = subprocess.run(command, cwd=ROOT, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    except OSError as error:
        raise Skip(f"{command[0]}: {error.strerror}") from None
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise Skip(said[-1] if said else f"{command[0]} ended with {done.returncode}")
    return done.stdout


class Table:
    """Lines, shown as they come and kept for the file."""

    def __init__(self):
        self.lines: list[str] = []

    def __call__(self, line: str = "") -> None:
        print(line, flush=True)
        self.lines.append(line)


class Ours:
    def __init__(self, command: list[str], runs: int, loads: list[str], folder: Path):
        self.command, self.runs, self.loads, self.folder = command, runs, loads, folder
        self.known: dict[str, np.ndarray] = {}
        (folder / "ragged.txt").write_text("".join(text(n) + "\n" for n in RAGGED))
        (folder / "8x128.txt").write_text((text(128) + "\n") * 8)

    def bench(self, device: str, env: dict[str, str] | None) -> dict:
        """The report of `everylayer bench`, cut to what the peers' reports have."""
        rows = []
        shapes = {
            "8x128": ["--batch", "8", "--tokens", "128"],
            "ragged": ["--texts", str(self.folder / "ragged.txt")],
        }
        for load in self.loads:
            shape = shapes[load]
            words = ["bench", "--device", device, "--dtype", "f32", *shape, "--runs", str(self.runs), "--json"]
            said = json.loads(call([*self.command, *words], env))
            row = said["rows"][0]
            if row["real_tokens"] != sum(LOADS[load][0]):
                raise Skip(f"everylayer counts {row['real_tokens']} tokens in {load}, not {sum(LOADS[load][0])}")
            keep = ("ms_min", "ms_median", "ms_max", "tokens_per_s")
            rows.append({"load": load, "tokens": row["real_tokens"], **{key: row[key] for key in keep}})
        return {"peer": "everylayer", "device": said["device"], "dtype": "f32", "runs": self.runs, "rows": rows}

    def vectors(self, device: str, env: dict[str, str] | None) -> np.ndarray:
        if device not in self.known:
            out = self.folder / "ours.npy"
            texts = self.folder / f"{self.loads[-1]}.txt"
            words = ["embed", "-q", "-i", str(texts), "--device", device, "--dtype", "f32"]
            call([*self.command, *words, "-p", "mean", "--normalize=false", "-o", str(out)], env)
            self.known[device] = np.load(out)
        return self.known[device]

    def first_run(self, device: str, env: dict[str, str] | None) -> float:
        """Seconds of a process from its start to the vectors of 8 texts, with empty caches."""
        with tempfile.TemporaryDirectory() as caches:
            words = ["embed", "-q", "-i", str(self.folder / "8x128.txt"), "--device", device, "--dtype", "f32"]
            start = time.perf_counter()
            out = ["-p", "mean", "--normalize=false", "-o", f"{caches}/first.npy"]
            call([*self.command, *words, *out], {**(env or os.environ), "XDG_CACHE_HOME": caches})
            return time.perf_counter() - start

    def adapter(self, device: str, env: dict[str, str] | None) -> dict:
        """The adapter that is taken for `device`."""
        words = ["bench", "--device", device, "--batch", "1", "--tokens", "16", "--plan", "--json"]
        taken = json.loads(call([*self.command, *words], env))["device"]
        for one in json.loads(call([*self.command, "info", "--json"], env))["adapters"]:
            if taken == f"{one['name']} ({one['backend']})":
                return one
        raise Skip(f"--device {device} is no GPU here but {taken}")

    def driver(self, device: str, env: dict[str, str] | None) -> str:
        one = self.adapter(device, env)
        return f"{one['name']} ({one['backend']}), {one['driver']}"


def mesa(folder: Path) -> dict[str, str]:
    """The environment with the driver that mesa25.sh unpacked."""
    said = call(["bash", "-c", f"set -eu; source {shlex.quote(str(folder / 'env'))}; env -0"])
    return dict(pair.split("=", 1) for pair in said.split("\0") if pair)


def machine() -> str:
    try:
        name = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())[1]
    except (OSError, TypeError):
        name = platform.processor() or platform.machine()
    return f"{name}, {os.cpu_count()} cores, {platform.system()} {platform.release()}"


def commit() -> str:
    try:
        changed = call(["git", "status", "--porcelain", "--untracked-files=no"]).strip()
        return call(["git", "rev-parse", "--short", "HEAD"]).strip() + (" and changes" if changed else "")
    except Skip:
        return "unknown"


def prepare(name: str, args: argparse.Namespace, ours: Ours, env: dict[str, str] | None) -> Peer:
    """The peer ready to run, or Skip."""
    here, on_cpu = Path(__file__).parent, name.endswith("-cpu")
    if not on_cpu and args.device == "cpu":
        raise Skip("it needs a GPU: name one with --device")
    device = "cpu" if on_cpu else args.device
    if name == "burn":
        command = [sys.executable, str(here / "burn_peer.py")]
        call([*command, "--build"])
        command += ["--form", args.burn_form, "--caches", str(ours.folder / "burn")]
        return Peer(name, device, command + ["--software"] * ours.adapter(device, env)["software"])
    python = args.python_webgpu if name == "ort-webgpu" else sys.executable
    if name == "ort-webgpu" and python is None:
        raise Skip("no Python for it: give --python-webgpu or PYTHON_WEBGPU")
    module = "onnxruntime" if name.startswith("ort") else "torch, transformers"
    call([python, "-c", f"import {module}"])
    if name == "ort-webgpu":
        has = "'WebGpuExecutionProvider' in onnxruntime.get_available_providers()"
        missing = "this onnxruntime has no WebGPU: it wants a venv of its own with requirements-webgpu.txt"
        call([python, "-c", f"import onnxruntime, sys; sys.exit(0 if {has} else '{missing}')"])
    if name.startswith("torch"):
        kind = name.removeprefix("torch-")
        there = {"cpu": "True", "cuda": "torch.cuda.is_available()", "mps": "torch.backends.mps.is_available()"}
        call([python, "-c", f"import torch, sys; sys.exit(0 if {there[kind]} else 'PyTorch finds no {kind} device')"])
        return Peer(name, device, [python, str(here / "torch_peer.py"), "--device", kind])
    call([sys.executable, str(here / "graph.py")])
    return Peer(name, device, [python, str(here / f"{name.replace('-', '_')}.py")])


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu", help="everylayer's device against GPU peers (default cpu: none)")
    parser.add_argument("--peers", default="all", help=f"of {', '.join(PEERS)} (default all that are there)")
    parser.add_argument("--pairs", type=int, default=3, help="times that each pair runs (default 3)")
    parser.add_argument("--runs", type=int, default=5, help="timed runs of one turn, after a warm-up (default 5)")
    parser.add_argument("--one-batch", action="store_true", help="time each peer on the ragged texts as one batch too")
    parser.add_argument("--loads", default="8x128,ragged", help="8x128, ragged or both (default)")
    parser.add_argument("--burn-form", default="auto", help="of burn's encoder, where it is known which (default auto)")
    parser.add_argument("--mesa", type=Path, help="folder of mesa25.sh: its driver for both sides")
    parser.add_argument("--everylayer", default=os.environ.get("EVERYLAYER", "cargo run --release --quiet --"))
    parser.add_argument("--python-webgpu", default=os.environ.get("PYTHON_WEBGPU"), help="Python with onnxruntime-webgpu")
    parser.add_argument("--out", type=Path, help="file of the table (default benches/results/DATE-peers-DEVICE.txt)")
    args = parser.parse_args()
    unknown = set(args.peers.split(",")) - {*PEERS, "all"}
    if unknown:
        parser.error(f"no peer is called {', '.join(sorted(unknown))}")
    args.loads = args.loads.split(",")
    if not {*args.loads} <= {"8x128", "ragged"}:
        parser.error("--loads are 8x128, ragged or both")
    if args.one_batch and args.loads != ["8x128", "ragged"]:
        parser.error("--one-batch wants both loads")
    return args


def compare(args: argparse.Namespace, say: Table, folder: Path) -> tuple[str, bool]:
    """The name of the device, and whether all agree."""
    ours = Ours(shlex.split(args.everylayer), args.runs, args.loads, folder)
    system, env = None, mesa(args.mesa) if args.mesa else None
    say(f"date     {datetime.datetime.now(datetime.timezone.utc):%F}")
    say(f"machine  {machine()}")
    if args.device != "cpu":
        say(f"driver   {ours.driver(args.device, env)}")
    say(f"commit   {commit()}")
    say(f"command  benches/peers/compare.py {shlex.join(sys.argv[1:])}")
    if hasattr(os, "getloadavg"):
        say("load     {:.1f} {:.1f} {:.1f}".format(*os.getloadavg()))
    peers = []
    for name in PEERS if args.peers == "all" else args.peers.split(","):
        try:
            peers.append(prepare(name, args, ours, env))
        except Skip as why:
            say(f"skipped  {name}: {why}")
    if not peers:
        raise NoPeer
    say()

    raw, agreement, costs, alone, right, called = [], [], [], [], True, args.device
    for pair in range(1, args.pairs + 1):
        for peer in list(peers):
            vectors = folder / f"{peer.name}.npy"
            loads = [*args.loads, *["ragged-one"] * (args.one_batch and pair == 1)]
            extra = ["--loads", ",".join(loads)] + (["--vectors", str(vectors)] if pair == 1 else [])
            mine = ours.bench(peer.device, env)
            try:
                its = json.loads(call([*peer.command, "--runs", str(args.runs), *extra], env).splitlines()[-1])
            except Skip as why:
                say(f"skipped  {peer.name}: {why}")
                peers.remove(peer)
                continue
            if peer.name == "burn" and its["device"] not in mine["device"]:
                say(f"skipped  {peer.name}: it took {its['device']}, everylayer {mine['device']}")
                peers.remove(peer)
                continue
            raw += [mine, its]
            called = mine["device"] if peer.device == args.device else called
            for a, b in zip(mine["rows"], its["rows"]):
                ratio = a["tokens_per_s"] / b["tokens_per_s"]
                peer.ratios.setdefault(a["load"], []).append(ratio)
                say(
                    f"pair {pair}  {a['load']:7}  everylayer on {mine['device']:40} {a['tokens_per_s']:>9.0f} tokens/s"
                    f"  {its['peer'] + ' on ' + its['device']:44} {b['tokens_per_s']:>9.0f} tokens/s  ratio {ratio:.2f}"
                )
            if "first_run_s" in its:
                first = ours.first_run(peer.device, env)
                say(
                    f"pair {pair}  first run of a process, caches empty, to the vectors of 8x128: "
                    f"everylayer {first:.2f} s, {its['peer']} {its['first_run_s']:.2f} s"
                )
            if pair == 1:
                if "tried" in its:
                    form = "graph" if "graph" in its else "form"
                    # Of two such words the last counts.
                    peer.command += [f"--{form}", its[form]]
                    costs += tried(its, form)
                elif "form" in its:
                    costs.append(f"{its['peer']} ran the form {its['form']} (benches/peers/burn/src/model.rs)")
                if "compiler" in its:
                    costs.append(f"{its['peer']} compiled its kernels to {its['compiler']}")
                if args.one_batch:
                    sorted8, one = (row["tokens_per_s"] for row in its["rows"][1:])
                    ours_ragged = mine["rows"][1]["tokens_per_s"]
                    costs.append(
                        f"{its['peer']}: ragged texts sorted in batches of 8: {sorted8} tokens/s, in one padded batch: "
                        f"{one}; everylayer is {ours_ragged / sorted8:.2f} and {ours_ragged / one:.2f} times as fast"
                    )
                a, b = ours.vectors(peer.device, env), np.load(vectors)
                furthest = float(np.abs(a - b).max())
                nearest = float(((a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)).min())
                good = furthest <= FURTHEST and nearest >= NEAREST
                right &= good
                agreement.append(
                    f"{its['peer'] + ' on ' + its['device']:44} largest difference {furthest:.1e}, "
                    f"least cosine {nearest:.7f}{'' if good else '  DISAGREES'}"
                )
        if args.mesa:
            with_mesa, without = ours.bench(args.device, env), ours.bench(args.device, system)
            raw += [with_mesa, without]
            for a, b in zip(with_mesa["rows"], without["rows"]):
                alone.append((a["load"], a["tokens_per_s"] / b["tokens_per_s"]))
                say(
                    f"pair {pair}  {a['load']:7}  everylayer, driver of --mesa {a['tokens_per_s']:.0f} tokens/s, "
                    f"the system's {b['tokens_per_s']:.0f} tokens/s"
                )

    say()
    for peer in peers:
        for load, ratios in peer.ratios.items():
            say(f"median ratio  everylayer / {peer.name:10}  {load:7}  {statistics.median(ratios):.2f}")
    for load in dict.fromkeys(load for load, _ in alone):
        say(f"median ratio  everylayer, driver of --mesa / the system's  {load:7}  "
            f"{statistics.median(r for l, r in alone if l == load):.2f}")
    say(f"\nagreement of everylayer with (sentence vectors of {args.loads[-1]}, mean of the tokens)")
    for line in agreement:
        say(f"  {line}")
    say("\nwhat else the peers said")
    for line in costs:
        say(f"  {line}")
    if args.mesa:
        say(f"  the system's driver: {ours.driver(args.device, system)}")
    say("\nraw output")
    for one in raw:
        say(json.dumps(one))
    return called, right


def tried(its: dict, form: str) -> list[str]:
    """What a peer says of the forms it has tried, which it calls graphs or forms."""
    where = "graph.py" if form == "graph" else "burn/src/model.rs"
    lines = [f"{its['peer']} ran the {form} {its[form]} (benches/peers/{where}); all, over 8 texts of 16 to 128 tokens:"]
    for one in its["tried"]:
        nodes = ""
        if "nodes_on_cpu" in one:
            cpu = ", ".join(f"{count} {op}" for op, count in one["nodes_on_cpu"].items())
            nodes = f"{one['nodes_on_webgpu']} nodes on WebGPU, on the CPU: {cpu}; "
        lines.append(
            f"  {one[form]:9}  {one['ms']:>8} ms  {nodes}differs from its own CPU by {one['differs_from_cpu_by']:.1e}"
        )
    return lines


def main() -> None:
    args, say = arguments(), Table()
    try:
        with tempfile.TemporaryDirectory() as folder:
            called, right = compare(args, say, Path(folder))
    except NoPeer:
        return
    except Skip as why:
        sys.exit(f"compare.py: {why}")
    slug = re.sub(r"[^a-z0-9]+", "-", called.split("(")[0].lower()).strip("-")
    out = args.out or ROOT / "benches" / "results" / f"{datetime.datetime.now(datetime.timezone.utc):%F}-peers-{slug}.txt"
    out.write_text("\n".join(say.lines) + "\n")
    print(f"\nwritten to {out}", file=sys.stderr)
    sys.exit(0 if right else "compare.py: the vectors disagree")


if __name__ == "__main__":
    main()
