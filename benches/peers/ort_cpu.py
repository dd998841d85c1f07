#!/usr/bin/env python3
"""ONNX Runtime on the CPU over the bundled model.

    python benches/peers/ort_cpu.py [--threads 2] [--runs 5]

Times session.run alone: no tokenisation. Prints JSON; compare.py reads it.
"""

import os

import onnxruntime as ort

from common import arguments, measure
from graph import GRAPHS, graph


def main() -> None:
    parser = arguments("Time ONNX Runtime on the CPU over the bundled model.")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="intra-op threads (default all cores)")
    parser.add_argument("--graph", choices=GRAPHS, default="fused", help="see graph.py (default fused)")
    args = parser.parse_args()
    options = ort.SessionOptions()
    options.intra_op_num_threads = args.threads
    options.inter_op_num_threads = 1
    session = ort.InferenceSession(str(graph(args.graph)), options, providers=["CPUExecutionProvider"])
    about = {"peer": f"onnxruntime {ort.__version__}", "device": f"CPU ({args.threads} threads)", "graph": args.graph}
    measure(args, lambda feed: session.run(None, feed)[0], about)


if __name__ == "__main__":
    main()
