#!/usr/bin/env bash
# The CPU executor against ONNX Runtime's CPU, in turn: compare.py with one peer.
#
#   PYTHON=.venv/bin/python benches/peers/cpu.sh [pairs]
set -euo pipefail
exec "${PYTHON:-python3}" "$(dirname "$0")/compare.py" --peers ort-cpu --pairs "${1:-3}"
