#!/usr/bin/env python3
"""Writes THIRD-PARTY.txt: the licences of what the program, the wheel and the npm package are linked with.

usage: tools/notices/make.py [--check]

What is linked is what `cargo tree` says of the default features on Linux, Windows and macOS and of the
browser's; build tools and tests are not shipped. The texts are the files of each package as it lies in
cargo's registry; where a package has none, what its Cargo.toml says is written. `--check` writes
nothing and fails where the file is not what would be written.
"""
import hashlib
import json
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
OUT = ROOT / "THIRD-PARTY.txt"
NAMES = re.compile(r"^(licen[cs]e|copying|notice|copyright|unlicense)", re.IGNORECASE)
TARGETS = ["x86_64-unknown-linux-gnu", "x86_64-pc-windows-msvc", "aarch64-apple-darwin"]
GRAPHS = [["--target", target, "--package", package] for target in TARGETS for package in ["everylayer", "everylayer-python"]] + [
    ["--target", "wasm32-unknown-unknown", "--no-default-features", "--features", "web"]
]


def cargo(*words):
    return subprocess.run(["cargo", *words], cwd=ROOT, check=True, capture_output=True, text=True).stdout


def linked():
    """(name, version) of every package that is linked."""
    found = set()
    for graph in GRAPHS:
        tree = cargo("tree", "--locked", "--edges", "normal,no-proc-macro", "--prefix", "none", "--format", "{p}", *graph)
        for line in tree.splitlines():
            match = re.match(r"(\S+) v(\S+)", line)
            if match and match[1] not in ("everylayer", "everylayer-python"):
                found.add(match.groups())
    return sorted(found)


def main():
    packages = {(p["name"], p["version"]): p for p in json.loads(cargo("metadata", "--locked", "--format-version", "1"))["packages"]}
    texts, users, silent = {}, {}, []
    list_ = []
    for key in linked():
        package = packages[key]
        licence = package["license"] or f"see {package['license_file']}"
        list_.append(f"{key[0]} {key[1]}  {licence}  {package['repository'] or package['homepage'] or ''}".rstrip())
        folder = pathlib.Path(package["manifest_path"]).parent
        files = sorted(f for f in folder.iterdir() if f.is_file() and NAMES.match(f.name))
        # Of a choice of licences the shortest is taken: MIT, where it is among them.
        is_notice = lambda f: re.match(r"notice|copyright", f.name, re.IGNORECASE)
        mit = [f for f in files if "MIT" in f.name.upper()]
        if mit and re.search(r"\bMIT\b", licence) and re.search(r" OR |/", licence):
            files = [f for f in files if f in mit or is_notice(f)]
        for file in files:
            text = file.read_text(errors="replace").replace("\r\n", "\n").strip("\n")
            text = "\n".join(line.rstrip() for line in text.split("\n"))
            # Alike but for white space is alike.
            digest = hashlib.sha256(" ".join(text.split()).encode()).hexdigest()
            texts.setdefault(digest, text)
            users.setdefault(digest, []).append(f"{key[0]} {key[1]}")
        if not files:
            silent.append(f"{key[0]} {key[1]}: {licence}, by {', '.join(package['authors']) or 'its authors'}")
    rule = "=" * 80
    parts = [
        "everylayer is under the Apache License 2.0 (the file LICENSE), and so is the model that the program\n"
        "carries, sentence-transformers/all-MiniLM-L6-v2. Both are used with the packages below, each under\n"
        "its own licence. This file is made by tools/notices/make.py.\n",
        "\n".join(list_) + "\n",
    ]
    if silent:
        parts.append(f"{rule}\nThese come without a text of their licence:\n\n" + "\n".join(silent) + "\n")
    for digest in sorted(users, key=lambda d: (users[d][0], d)):
        names = sorted(set(users[digest]))
        parts.append(f"{rule}\n{', '.join(names)}\n\n{texts[digest]}\n")
    whole = "\n".join(parts)
    if "--check" in sys.argv[1:]:
        if not OUT.is_file() or OUT.read_text() != whole:
            sys.exit("error: THIRD-PARTY.txt is not that of Cargo.lock: run tools/notices/make.py")
        return
    OUT.write_text(whole)
    print(f"{OUT.name}: {len(list_)} packages, {len(texts)} texts, {len(whole)} bytes")


if __name__ == "__main__":
    main()
