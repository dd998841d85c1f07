"""What every peer shares: the texts, their batches, the clock and the form of the report.

Loads, over texts of 8 to 256 tokens:

    8x128       8 texts of 128 tokens, one batch
    ragged      32 texts, text i of 8 + 8 i tokens, sorted by length, in batches of 8 that are each
                padded to their longest, as sentence-transformers would
    ragged-one  the same texts in one batch, padded to 256 tokens
"""

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

MODEL = Path(__file__).resolve().parents[2] / "models" / "all-MiniLM-L6-v2"
# Each is one token of the model. Texts of one repeated word would hide a wrong attention: all its
# keys would be nearly the same.
WORDS = (
    "the river took seven old stone houses with it before morning and nobody in town could say why "
    "so much water came down from mountains that had seen no rain since early winter"
).split()
RAGGED = [8 + 8 * i for i in range(32)]
LOADS = {"8x128": ([128] * 8, 8), "ragged": (sorted(RAGGED), 8), "ragged-one": (RAGGED, len(RAGGED))}
# Small, with padding in it: to try a graph or a device.
TRY = [16, 32, 48, 64, 80, 96, 112, 128]

Feed = dict[str, np.ndarray]


def text(tokens: int) -> str:
    """A text of exactly that many tokens, [CLS] and [SEP] included."""
    return " ".join(WORDS[(tokens + i) % len(WORDS)] for i in range(tokens - 2))


def feeds(lengths: list[int], batch: int) -> list[Feed]:
    """Inputs for texts of these lengths, in order, `batch` at a time, padded to the longest."""
    ids = {word: i for i, word in enumerate((MODEL / "vocab.txt").read_text().split("\n"))}
    made = []
    for start in range(0, len(lengths), batch):
        group = lengths[start : start + batch]
        tokens = np.zeros((len(group), max(group)), np.int64)
        mask = np.zeros_like(tokens)
        for row, length in enumerate(group):
            words = ["[CLS]", *text(length).split(), "[SEP]"]
            tokens[row, :length] = [ids[word] for word in words]
            mask[row, :length] = 1
        made.append({"input_ids": tokens, "attention_mask": mask, "token_type_ids": np.zeros_like(tokens)})
    return made


def arguments(about: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--runs", type=int, default=5, help="timed runs after one warm-up (default 5)")
    parser.add_argument("--loads", default="8x128,ragged", help=f"of {', '.join(LOADS)} (default 8x128,ragged)")
    parser.add_argument("--vectors", type=Path, help="write the vectors of the load ragged, or else of the last, to this .npy")
    return parser


def measure(args: argparse.Namespace, run: Callable[[Feed], np.ndarray], about: dict) -> None:
    """Times `run` (a batch to its sentence vectors) over the loads and prints the report."""
    rows = []
    for name in args.loads.split(","):
        lengths, batch = LOADS[name]
        made = feeds(lengths, batch)

        def once() -> tuple[float, list[np.ndarray]]:
            start = time.perf_counter()
            vectors = [run(feed) for feed in made]
            return (time.perf_counter() - start) * 1e3, vectors

        first, vectors = once()
        named = args.loads.split(",")
        if args.vectors and name == ("ragged" if "ragged" in named else named[-1]):
            np.save(args.vectors, np.concatenate(vectors))
        ms = [once()[0] for _ in range(args.runs)]
        rows.append(
            {
                "load": name,
                "batch": len(lengths),
                "tokens": sum(lengths),
                "padded_tokens": sum(feed["input_ids"].size for feed in made),
                "ms_first": round(first, 2),
                "ms_min": round(min(ms), 2),
                "ms_median": round(statistics.median(ms), 2),
                "ms_max": round(max(ms), 2),
                "tokens_per_s": round(sum(lengths) / statistics.median(ms) * 1e3),
            }
        )
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    print(json.dumps({**about, "dtype": "f32", "runs": args.runs, "load_average": load, "rows": rows}))
