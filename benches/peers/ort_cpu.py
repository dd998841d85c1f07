#!/usr/bin/env python3
"""ONNX Runtime on the CPU over the bundled model: the figure to compare with.

    pip install -r benches/peers/requirements.txt
    python benches/peers/ort_cpu.py [--threads 2] [--runs 5]

Exports models/all-MiniLM-L6-v2 to ONNX once (f32, opset 17, last hidden state
only; --states all gives every hidden state as everylayer does), lets ONNX
Runtime's own transformer optimizer fuse it (attention, embeddings, GELU, skip and
LayerNorm: --graph plain leaves that out), checks it against PyTorch with padding
in the batch, and times session.run alone: no tokenisation, no pooling. One warm-up
pass over the load, then --runs timed ones. Other work on the machine makes the
figures worthless: look at load_average.

The export uses torch's older, tracing exporter: the optimizer does not recognise
the attention in what the newer one writes (2.15), which would slow the peer.

Prints JSON:

    batch, tokens   texts and real tokens of one pass (padding is not counted)
    padded_tokens   what ONNX Runtime had to compute
    ms_*, tokens_per_s   over the timed passes; tokens_per_s is tokens / ms_median

Loads: "uniform" is 8 texts of 128 tokens in one batch. "ragged" is 32 texts of 8
to 256 tokens, sorted by length and run in batches of 8, each padded to its
longest, as sentence-transformers would.
"""

import argparse
import hashlib
import json
import os
import platform
import statistics
import tempfile
import time
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"

import numpy as np
import onnxruntime as ort

MODEL = Path(__file__).resolve().parents[2] / "models" / "all-MiniLM-L6-v2"
OPSET = 17
BATCH = 8
RAGGED = [round(8 + i * (256 - 8) / 31) for i in range(32)]


def load_torch():
    import torch
    from transformers import AutoModel

    return AutoModel.from_pretrained(MODEL, dtype=torch.float32, attn_implementation="eager").eval()


def export(path: Path, states: str, graph: str) -> None:
    import torch
    from onnxruntime.transformers import optimizer

    class Encoder(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = load_torch()

        def forward(self, input_ids, attention_mask, token_type_ids):
            out = self.inner(
                input_ids=input_ids,
                attention_mask=attention_mask,
                token_type_ids=token_type_ids,
                output_hidden_states=states == "all",
            )
            return tuple(out.hidden_states) if states == "all" else out.last_hidden_state

    encoder = Encoder().eval()
    config = encoder.inner.config
    ids = torch.ones(2, 16, dtype=torch.int64)
    mask = torch.ones_like(ids)
    mask[1, 9:] = 0
    inputs = ["input_ids", "attention_mask", "token_type_ids"]
    count = config.num_hidden_layers + 1
    outputs = [f"state_{i}" for i in range(count)] if states == "all" else ["last_hidden_state"]
    part = path.with_suffix(".part.onnx")
    with torch.inference_mode():
        torch.onnx.export(
            encoder,
            (ids, mask, torch.zeros_like(ids)),
            part,
            dynamo=False,
            opset_version=OPSET,
            input_names=inputs,
            output_names=outputs,
            dynamic_axes={name: {0: "batch", 1: "tokens"} for name in inputs + outputs},
        )
    if graph == "fused":
        model = optimizer.optimize_model(
            str(part),
            model_type="bert",
            num_heads=config.num_attention_heads,
            hidden_size=config.hidden_size,
            opt_level=0,
            use_gpu=False,
        )
        fused = model.get_fused_operator_statistics()
        if fused["Attention"] != config.num_hidden_layers:
            raise SystemExit(f"ONNX Runtime's optimizer fused {fused['Attention']} attention blocks: {fused}")
        model.save_model_to_file(str(part))
    part.replace(path)


def batches(lengths: list[int], vocab: int) -> list[dict[str, np.ndarray]]:
    """Inputs for texts of these lengths, in order, BATCH at a time, padded per batch."""
    random = np.random.default_rng(0)
    feeds = []
    for start in range(0, len(lengths), BATCH):
        group = lengths[start : start + BATCH]
        ids = np.zeros((len(group), max(group)), np.int64)
        mask = np.zeros_like(ids)
        for row, length in enumerate(group):
            ids[row, :length] = random.integers(1000, vocab, length)
            ids[row, 0], ids[row, length - 1] = 101, 102
            mask[row, :length] = 1
        feeds.append({"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)})
    return feeds


def check(session: ort.InferenceSession, feed: dict[str, np.ndarray]) -> float:
    """Largest difference from PyTorch over the real tokens of one batch."""
    import torch

    with torch.inference_mode():
        wanted = load_torch()(**{k: torch.from_numpy(v) for k, v in feed.items()}).last_hidden_state.numpy()
    real = feed["attention_mask"].astype(bool)
    worst = float(np.abs(session.run(None, feed)[-1] - wanted)[real].max())
    if worst > 1e-3:
        raise SystemExit(f"the exported model differs from PyTorch by {worst}")
    return worst


def timed(session: ort.InferenceSession, feeds: list[dict[str, np.ndarray]], runs: int) -> list[float]:
    def once() -> float:
        start = time.perf_counter()
        for feed in feeds:
            session.run(None, feed)
        return (time.perf_counter() - start) * 1e3

    once()
    return [once() for _ in range(runs)]


def main() -> None:
    parser = argparse.ArgumentParser(description="Time ONNX Runtime on the CPU over the bundled model.")
    parser.add_argument("--threads", type=int, default=2, help="intra-op threads (default 2)")
    parser.add_argument("--runs", type=int, default=5, help="timed runs after one warm-up (default 5)")
    parser.add_argument("--states", choices=["last", "all"], default="last", help="outputs of the graph")
    parser.add_argument("--graph", choices=["fused", "plain"], default="fused", help="run ONNX Runtime's optimizer")
    parser.add_argument(
        "--cache", type=Path, default=Path(tempfile.gettempdir()) / "everylayer-peers", help="folder for the ONNX file"
    )
    args = parser.parse_args()

    digest = hashlib.sha256((MODEL / "model.safetensors").read_bytes()).hexdigest()[:12]
    path = args.cache / f"minilm-{digest}-opset{OPSET}-{args.graph}-{args.states}.onnx"
    if not path.exists():
        args.cache.mkdir(parents=True, exist_ok=True)
        export(path, args.states, args.graph)

    options = ort.SessionOptions()
    options.intra_op_num_threads = args.threads
    options.inter_op_num_threads = 1
    session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    vocab = json.loads((MODEL / "config.json").read_text())["vocab_size"]
    loads = {"uniform": [128] * BATCH, "ragged": sorted(RAGGED)}

    rows, worst = [], 0.0
    for name, lengths in loads.items():
        feeds = batches(lengths, vocab)
        worst = max(worst, *(check(session, feed) for feed in feeds))
        ms = timed(session, feeds, args.runs)
        rows.append(
            {
                "load": name,
                "batch": len(lengths),
                "tokens": sum(lengths),
                "padded_tokens": sum(feed["input_ids"].size for feed in feeds),
                "ms_min": round(min(ms), 2),
                "ms_median": round(statistics.median(ms), 2),
                "ms_max": round(max(ms), 2),
                "tokens_per_s": round(sum(lengths) / statistics.median(ms) * 1e3),
            }
        )
    about = {
        "peer": f"onnxruntime {ort.__version__}",
        "provider": session.get_providers()[0],
        "dtype": "f32",
        "threads": args.threads,
        "states": args.states,
        "graph": args.graph,
        "runs": args.runs,
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "load_average": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "differs_from_torch_by": worst,
        "rows": rows,
    }
    print(json.dumps(about, indent=2))


if __name__ == "__main__":
    main()
