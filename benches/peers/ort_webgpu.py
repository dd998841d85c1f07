#!/usr/bin/env python3
"""ONNX Runtime on WebGPU (Dawn; Vulkan, Metal or Direct3D 12) over the bundled model.

    python benches/peers/ort_webgpu.py [--graph auto] [--runs 5]

Needs a venv of its own with requirements-webgpu.txt, and the graphs that graph.py writes. ONNX
Runtime goes on silently on the CPU where it finds no adapter, and leaves single nodes to the CPU
where it has no kernel: the profile of a run says which node ran where, and no product on WebGPU is
an error here. `--graph auto` tries each graph against the CPU and takes the fastest that is right.
Prints JSON; compare.py reads it.
"""

import json
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np
import onnxruntime as ort

from common import TRY, arguments, feeds, measure
from graph import graph

# Validation costs time and finds nothing in a graph that runs.
WEBGPU = ("WebGpuExecutionProvider", {"validationMode": "disabled", "powerPreference": "high-performance"})
TRIED = ("bias", "fused", "steps")


def session(name: str, provider, profile: str | None = None) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.log_severity_level = 3
    if profile:
        options.enable_profiling = True
        options.profile_file_prefix = profile
    return ort.InferenceSession(str(graph(name)), options, providers=[provider])


def nodes(profile: str) -> tuple[int, Counter]:
    """Nodes that ran on WebGPU, and those on the CPU by operation, copies left out."""
    webgpu, cpu = 0, Counter()
    for event in json.loads(Path(profile).read_text()):
        args = event.get("args", {})
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            if args["provider"] != WEBGPU[0]:
                cpu[args["op_name"]] += 1
            elif not args["op_name"].startswith("Memcpy"):
                webgpu += 1
    return webgpu, cpu


def attempt(name: str) -> dict:
    feed = feeds(TRY, len(TRY))[0]
    with tempfile.TemporaryDirectory() as folder:
        profiled = session(name, WEBGPU, f"{folder}/profile")
        got = profiled.run(None, feed)[0]
        webgpu, cpu = nodes(profiled.end_profiling())
    if webgpu == 0:
        raise SystemExit("ONNX Runtime ran no node on WebGPU: Dawn found no adapter (Debian 12: see mesa25.sh)")
    wanted = session(name, "CPUExecutionProvider").run(None, feed)[0]
    ready = session(name, WEBGPU)
    ready.run(None, feed)
    start = time.perf_counter()
    ready.run(None, feed)
    return {
        "graph": name,
        "nodes_on_webgpu": webgpu,
        "nodes_on_cpu": dict(cpu),
        "differs_from_cpu_by": float(np.abs(got - wanted).max()),
        "ms": round((time.perf_counter() - start) * 1e3, 1),
    }


def main() -> None:
    parser = arguments("Time ONNX Runtime on WebGPU over the bundled model.")
    parser.add_argument("--graph", choices=["auto", "plain", *TRIED], default="auto", help="see graph.py")
    args = parser.parse_args()
    if WEBGPU[0] not in ort.get_available_providers():
        raise SystemExit("this onnxruntime has no WebGPU: install requirements-webgpu.txt in a venv of its own")
    tried = [attempt(name) for name in (TRIED if args.graph == "auto" else [args.graph])]
    right = [one for one in tried if one["differs_from_cpu_by"] < 1e-4]
    if not right:
        raise SystemExit(f"ONNX Runtime's WebGPU differs from its CPU in every graph: {tried}")
    best = min(right, key=lambda one: one["ms"])["graph"]
    ready = session(best, WEBGPU)
    about = {"peer": f"onnxruntime-webgpu {ort.__version__}", "device": "WebGPU", "graph": best, "tried": tried}
    measure(args, lambda feed: ready.run(None, feed)[0], about)


if __name__ == "__main__":
    main()
