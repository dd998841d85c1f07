#!/usr/bin/env bash
# The CPU executor against ONNX Runtime's CPU, the same work in turn (A B A B A B), the ratio pair by
# pair: on a shared machine single figures mean little.
#
#   python3 -m venv .venv && .venv/bin/pip install -r benches/peers/requirements.txt
#   PYTHON=.venv/bin/python benches/peers/cpu.sh [pairs] > benches/results/DATE-cpu.txt
set -euo pipefail
cd "$(dirname "$0")/../.."
pairs=${1:-3}
python=${PYTHON:-python3}
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT

echo "date     $(date -u +%F)"
echo "machine  $(grep -m1 'model name' /proc/cpuinfo | cut -d: -f2 | xargs), $(nproc) cores, $(uname -sr)"
echo "commit   $(git rev-parse --short HEAD)"
echo "command  benches/peers/cpu.sh $pairs"
cargo bench --quiet --bench throughput --no-run 2>/dev/null
for i in $(seq "$pairs"); do
  cargo bench --quiet --bench throughput -- --device cpu --runs 5 2>/dev/null >"$out/ours.$i"
  "$python" benches/peers/ort_cpu.py --threads 2 --runs 5 2>/dev/null >"$out/ort.$i"
done
"$python" - "$out" "$pairs" <<'PY'
import json, statistics, sys
out, pairs = sys.argv[1], int(sys.argv[2])
ratios = {}
for i in range(1, pairs + 1):
    ours = json.load(open(f"{out}/ours.{i}"))["rows"]
    peer = json.load(open(f"{out}/ort.{i}"))["rows"]
    for a, b, name in zip(ours, peer, ("8 x 128", "ragged 32")):
        print(f"pair {i}  {name:9}  everylayer {a['tokens_per_s']:>6.0f} tokens/s  "
              f"ONNX Runtime {b['tokens_per_s']:>6.0f} tokens/s  ratio {a['tokens_per_s'] / b['tokens_per_s']:.2f}")
        ratios.setdefault(name, []).append(a["tokens_per_s"] / b["tokens_per_s"])
for name, r in ratios.items():
    print(f"median ratio  {name}: {statistics.median(r):.2f}")
PY
echo
echo "raw output of the last pair"
cat "$out/ours.$pairs" "$out/ort.$pairs"
