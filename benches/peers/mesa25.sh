#!/usr/bin/env bash
# Unpacks Mesa 25's software Vulkan driver (llvmpipe) of Debian bookworm-backports into a folder, beside
# the system's Mesa: nothing is installed, /etc/apt is not touched.
#
#   benches/peers/mesa25.sh DIR      then: source DIR/env
#
# DIR/env points the Vulkan loader at that driver and at nothing else. onnxruntime-webgpu needs it:
# it finds no adapter on bookworm's own Mesa 22.3. DEBIAN_MIRROR names another mirror.
set -euo pipefail

fail() {
  echo "mesa25.sh: $*" >&2
  exit 1
}
case "${1:-}" in
  '' | -h | --help)
    sed -n '2,8s/^#  *//p' "$0"
    exit 0
    ;;
  -*) fail "unknown option $1 (see --help)" ;;
esac
command -v apt-get dpkg >/dev/null || fail "needs apt-get and dpkg, as on Debian 12"
keys=/usr/share/keyrings/debian-archive-keyring.gpg
[ -f "$keys" ] || fail "needs $keys of the package debian-archive-keyring"

mkdir -p "$1"
dir=$(cd "$1" && pwd)
mkdir -p "$dir"/apt/{lists,cache/archives}/partial "$dir/debs"
for suite in bookworm bookworm-backports; do
  echo "deb [signed-by=$keys] ${DEBIAN_MIRROR:-http://deb.debian.org/debian} $suite main"
done >"$dir/apt/sources.list"
log="$dir/apt/log"
apt() {
  apt-get -q -o Dir::Etc::sourcelist="$dir/apt/sources.list" -o Dir::Etc::sourceparts=/dev/null \
    -o Dir::State::lists="$dir/apt/lists" -o Dir::Cache="$dir/apt/cache" -o APT::Sandbox::User= "$@" 2>>"$log"
}

apt update >"$log" || fail "apt-get update failed: see $log"
# The driver, and those of its libraries that this system lacks or has too old. A line of a dry run:
# Inst NAME [version here] (version there ...
plan=$(apt install --dry-run --no-install-recommends mesa-vulkan-drivers/bookworm-backports) ||
  fail "apt-get finds no mesa-vulkan-drivers in bookworm-backports: see $log"
mapfile -t wanted < <(sed -n 's/^Inst \([^ ]*\) [^(]*(\([^ ]*\) .*/\1=\2/p' <<<"$plan")
[ "${#wanted[@]}" -gt 0 ] || fail "this system's own Mesa is that new already: use it as it is"
(cd "$dir/debs" && rm -f ./*.deb && apt download "${wanted[@]}" >>"$log") ||
  fail "apt-get download failed: see $log"
rm -rf "$dir/root"
for deb in "$dir"/debs/*.deb; do
  dpkg -x "$deb" "$dir/root"
done

icd=$(find "$dir/root/usr/share/vulkan/icd.d" -name 'lvp_icd*.json')
lib=$(find "$dir/root/usr/lib" -name 'libvulkan_lvp.so')
[ -n "$icd" ] && [ -n "$lib" ] || fail "the package has no llvmpipe driver in it"
sed "s|\"library_path\": *\"[^\"]*\"|\"library_path\": \"$lib\"|" "$icd" >"$dir/lvp_icd.json"
cat >"$dir/env" <<EOF
export VK_DRIVER_FILES='$dir/lvp_icd.json' VK_ICD_FILENAMES='$dir/lvp_icd.json'
export LD_LIBRARY_PATH='$(dirname "$lib")'"\${LD_LIBRARY_PATH:+:\$LD_LIBRARY_PATH}"
EOF
missing=$(LD_LIBRARY_PATH=$(dirname "$lib") ldd "$lib" | awk '/not found/ {print $1}' | xargs)
[ -z "$missing" ] || fail "the driver needs $missing, which apt did not bring"
echo "${wanted[*]}"
echo "source $dir/env"
