#!/usr/bin/env python3
"""PyTorch (Transformers' BertModel, sdpa attention) over the bundled model.

    python benches/peers/torch_peer.py [--device cpu|cuda|mps] [--runs 5]

Times a batch up, the forward pass, the mean over real tokens, and the vectors back; no
tokenisation. Prints JSON; compare.py reads it.
"""

import os

os.environ["HF_HUB_OFFLINE"] = "1"

import numpy as np
import torch
from transformers import BertModel

from common import MODEL, Feed, arguments, measure


def main() -> None:
    parser = arguments("Time PyTorch over the bundled model.")
    parser.add_argument("--device", choices=["cpu", "cuda", "mps"], default="cpu")
    args = parser.parse_args()
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not there[args.device]:
        raise SystemExit(f"PyTorch {torch.__version__} finds no {args.device} device here")
    torch.set_num_threads(os.cpu_count() or 1)
    model = BertModel.from_pretrained(MODEL, dtype=torch.float32, attn_implementation="sdpa")
    model = model.eval().to(args.device)

    def run(feed: Feed) -> np.ndarray:
        # The copy back waits for the device.
        there = {key: torch.from_numpy(value).to(args.device) for key, value in feed.items()}
        state = model(**there).last_hidden_state
        mask = there["attention_mask"].unsqueeze(-1).to(state.dtype)
        return ((state * mask).sum(1) / mask.sum(1)).cpu().numpy()

    name = torch.cuda.get_device_name() if args.device == "cuda" else args.device
    if args.device == "cpu":
        name = f"CPU ({torch.get_num_threads()} threads)"
    with torch.inference_mode():
        measure(args, run, {"peer": f"torch {torch.__version__}", "device": name})


if __name__ == "__main__":
    main()
