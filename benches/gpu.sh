#!/usr/bin/env bash
# Everything to know of everylayer on a GPU, in one file: does it compute right, how fast is it, and how
# fast are onnxruntime-webgpu, burn and PyTorch on the same texts, where they are installed.
#
#   benches/gpu.sh [--device NAME] [--runs N] [--pairs N] [--mesa DIR] [--peers LIST | --no-peers] [--out FILE]
#   benches/gpu.sh --pack DIR [--binary PATH]
#
#   --pack DIR      measure nothing, make a folder that does so on a machine without network, Rust and this
#                   repository (DIR/run --help), of the everylayer at PATH or one that is built for it
#   --device NAME   what `everylayer --device` takes: part of an adapter's name (default auto)
#   --runs N        timed runs of each shape (default 20; 1 on a software adapter)
#   --pairs N       turns of everylayer against each peer (default 5; 1 on a software adapter)
#   --mesa DIR      the driver that benches/peers/mesa25.sh unpacked there, for all that is run
#   --peers LIST    of those of benches/peers/compare.py (default ort-webgpu,torch-cuda,torch-mps, and on a
#                   real GPU burn where it is built; naming it builds it: minutes, and on a software
#                   adapter its tuner takes as many again)
#   --no-peers      everylayer alone
#   --out FILE      the result (default benches/results/DATE-ADAPTER.txt)
#
# PYTHON (default python3) and PYTHON_WEBGPU are the Pythons with the packages of benches/peers/.
# EVERYLAYER is a built everylayer, to take instead of building one. Paths are relative to the repository.
set -euo pipefail
cd "$(dirname "$0")/.."

case "${1:-}" in --pack | --binary) exec benches/pack/make "$@" ;; esac

fail() {
  echo "gpu.sh: $*" >&2
  exit 1
}
# What is under way, for whoever waits, and once a minute that it still is.
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
say() {
  echo "$*" >"$folder/stage"
  echo "gpu.sh: $* ($SECONDS s)" >&2
}
tick() {
  # A sleep that is left behind holds no pipe of the caller's.
  while sleep 60 >/dev/null 2>&1 && [ -e "$folder/stage" ]; do
    echo "gpu.sh: still: $(cat "$folder/stage") ($SECONDS s)" >&2
  done
}
given=$* device=auto runs='' pairs='' mesa='' peers='' out=''
while [ $# -gt 0 ]; do
  case "$1" in
    -h | --help)
      sed -n '2,22s/^# \{0,1\}//p' "$0"
      exit 0
      ;;
    --no-peers)
      peers=none
      shift
      continue
      ;;
    --device | --runs | --pairs | --mesa | --peers | --out) [ $# -gt 1 ] || fail "$1 needs a value" ;;
    *) fail "unknown option $1 (see --help)" ;;
  esac
  case "$1" in
    --device) device=$2 ;;
    --runs) runs=$2 ;;
    --pairs) pairs=$2 ;;
    --mesa) mesa=$2 ;;
    --peers) peers=$2 ;;
    --out) out=$2 ;;
  esac
  shift 2
done
if [ -n "$mesa" ]; then
  [ -f "$mesa/env" ] || fail "$mesa has no driver: run benches/peers/mesa25.sh $mesa"
  # shellcheck source=/dev/null
  . "$mesa/env"
fi
# Mesa's loader asks for it; its absence is a line of noise.
export XDG_RUNTIME_DIR="${XDG_RUNTIME_DIR:-${TMPDIR:-/tmp}}"

ours=${EVERYLAYER:-}
if [ -z "$ours" ]; then
  command -v cargo >/dev/null || fail "needs cargo (https://rustup.rs), or EVERYLAYER=path of a built everylayer"
  cargo build --release || fail "cargo build --release failed"
  ours=${CARGO_TARGET_DIR:-target}/release/everylayer
fi
"$ours" bench --help >/dev/null 2>&1 || fail "$ours has no command bench"

plan=$("$ours" bench --device "$device" --batch 1 --tokens 16 --plan --json) || fail "no device is called $device"
adapter=$(sed -n 's/^ *"device": "\(.*\)",\{0,1\}$/\1/p' <<<"$plan")
shapes='1x16 8x128 32x128 32x512 ragged' one_batch=--one-batch software=''
case "$adapter" in
  'CPU ('*) fail "$device is no GPU here; \`$ours info\` lists the adapters, software ones can be named with --device" ;;
  *llvmpipe* | *SwiftShader* | *'Basic Render'*)
    shapes='8x128 ragged' one_batch='' software=yes runs=${runs:-1} pairs=${pairs:-1}
    ;;
esac
runs=${runs:-20} pairs=${pairs:-5}
# From here on that very adapter: "NAME (BACKEND)" without the backend.
device=${adapter% (*}

if [ -z "$peers" ]; then
  peers=ort-webgpu,torch-cuda,torch-mps
  if [ -z "$software" ] && [ -x benches/peers/burn/target/release/burn-peer ]; then
    peers=ort-webgpu,burn,torch-cuda,torch-mps
  fi
fi

for i in $(seq 0 31); do
  # Text i has 8 + 8 i tokens, of which two are special.
  printf 'the%.0s ' $(seq $((6 + 8 * i)))
  echo
done >"$folder/ragged.txt"
slug=$(sed 's/(.*//' <<<"$adapter" | tr 'A-Z' 'a-z' | tr -cs 'a-z0-9\n' '-' | sed 's/^-//; s/-$//')
out=${out:-benches/results/$(date -u +%F)-$slug.txt}
machine=$(sysctl -n machdep.cpu.brand_string 2>/dev/null || sed -n 's/^model name[^:]*: //p' /proc/cpuinfo 2>/dev/null | head -n 1)

bench() {
  local dtype=$1 shape=$2 words
  case "$shape" in
    ragged) words="--texts $folder/ragged.txt" ;;
    *) words="--batch ${shape%x*} --tokens ${shape#*x}" ;;
  esac
  say "bench, $dtype, $shape${4:+, as data}"
  # shellcheck disable=SC2086
  "$ours" bench --device "$device" --dtype "$dtype" $words --runs "$runs" "${@:3}" 2>&1 ||
    echo "failed: everylayer bench --dtype $dtype $shape"
}
report() {
  echo "date     $(date -u +%F)"
  echo "machine  ${machine:-unknown}, $(getconf _NPROCESSORS_ONLN 2>/dev/null || echo '?') cores, $(uname -srm)"
  echo "adapter  $adapter"
  echo "commit   $(git rev-parse --short HEAD 2>/dev/null || echo unknown)"
  echo "command  benches/gpu.sh $given"
  echo "load     $(uptime | sed 's/.*load average[s]*: //')"
  printf '\n== adapters and model\n'
  "$ours" info --device "$device" 2>&1 || echo 'failed: everylayer info'
  printf '\n== doctor: is it right?\n'
  say "doctor: every kernel in every variant; with a driver that has seen none of them it takes minutes"
  "$ours" doctor --device "$device" 2>&1 || touch "$folder/wrong"
  for dtype in f32 f16; do
    for shape in $shapes; do
      printf '\n== %s, %s, %s runs\n' "$shape" "$dtype" "$runs"
      bench "$dtype" "$shape"
    done
  done
  case "$("$ours" bench --help)" in
    *--tune*)
      printf '\n== tuning\n'
      say 'tuning'
      "$ours" bench --device "$device" --tune 2>&1 || echo 'failed: everylayer bench --tune'
      ;;
  esac
  if [ "$peers" != none ]; then
    printf '\n== peers\n'
    say "peers: $peers"
    local python=${PYTHON:-python3}
    if "$python" -c 'import numpy' 2>/dev/null; then
      # shellcheck disable=SC2086
      PYTHON_WEBGPU=${PYTHON_WEBGPU:-$python} "$python" benches/peers/compare.py --device "$device" \
        --peers "$peers" $one_batch --everylayer "$ours" --pairs "$pairs" --runs "$runs" --out "$folder/peers" 2>&1 || touch "$folder/wrong"
    else
      echo "skipped: $python has no numpy (see benches/peers/README.md)"
    fi
  fi
  printf '\n== the same shapes as data\n'
  for dtype in f32 f16; do
    for shape in $shapes; do
      bench "$dtype" "$shape" --json --quiet | tr -d '\n' | tr -s ' '
      echo
    done
  done
}

tick &
ticker=$!
trap 'kill "$ticker" 2>/dev/null; rm -rf "$folder"' EXIT
report | tee "$folder/report"
cp "$folder/report" "$out"
echo "written to $out" >&2
[ ! -e "$folder/wrong" ] || fail "something is wrong or failed: see doctor and peers in $out"
