"""``everylayer embed --on ray``: a Parquet corpus through `everylayer.ray`, as the words of the program say."""

from __future__ import annotations

import json
import logging
import os
import re
import sys
import time
import warnings
from typing import Any

from . import _errors, _native
from ._column import check_columns, rows_of_a_batch
from ._errors import Error, IoError, UsageError, optional

# Of what a call is told by, these change nothing in the rows.
_FREE = frozenset({"workers", "resources", "resume", "quiet", "rejects"})
# Blocks of a worker at least, and calls of a block at most.
_BLOCKS, _CALLS = 8, 16


def run(call: str) -> None:
    """Does what the JSON object `call` says: its keys are those of ``src/cli/embed/cluster.rs``."""
    optional("ray.data", "ray", "--on ray")
    asked: dict[str, Any] = json.loads(call)
    for name in ("input", "output"):
        asked[name] = _absolute(asked[name])
    try:
        _run(asked)
    except Error:
        raise
    except Exception as raised:
        raise _ours(raised) from raised


def _run(asked: dict[str, Any]) -> None:
    import ray
    from pyarrow import dataset
    from ray.data.checkpoint import CheckpointConfig

    from .ray import embed

    started = time.monotonic()
    wanted = list(dict.fromkeys([asked["id"], *asked["keep"]]))
    on_error: Any = "reject" if asked["rejects"] else "raise"
    whole = dataset.dataset(asked["input"], format="parquet")
    names = whole.schema.names
    for name in wanted:
        if name not in names:
            raise UsageError(f"there is no column {name!r}: there are {', '.join(names)}")
    check_columns(names, asked["column"], "vectors", "rejected", on_error)
    sample = whole.head(64, columns=[asked["column"]]).column(0).to_pylist()
    beside = asked["output"].rstrip("/") + ".everylayer"
    _open(asked, beside)
    _connect(ray, asked)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = not asked["quiet"] and sys.stderr.isatty()
    context.checkpoint_config = CheckpointConfig(
        id_column=asked["id"], checkpoint_path=f"{beside}/done", delete_checkpoint_on_success=False
    )
    corpus = ray.data.read_parquet(asked["input"], columns=list(dict.fromkeys([*wanted, asked["column"]])))
    batch_rows = rows_of_a_batch(sample, asked["encoder"]["batch_tokens"], asked["capture"])
    # What a worker takes, writes, and does again where it is cut off: some for each, and files that are not too small.
    share = whole.count_rows() // (_BLOCKS * asked["workers"]) + 1
    corpus = corpus.repartition(target_num_rows_per_block=min(share, _CALLS * batch_rows))
    resources = {name: amount for name, amount in asked["resources"].items() if name not in ("cpu", "gpu")}
    vectors = embed(
        corpus,
        asked["column"],
        **asked["encoder"],
        **asked["capture"],
        on_error=on_error,
        workers=asked["workers"],
        num_cpus=asked["resources"].get("cpu", 1),
        num_gpus=asked["resources"].get("gpu"),
        batch_rows=batch_rows,
        resources=resources or None,
    )
    if asked["column"] not in wanted:
        vectors = vectors.drop_columns([asked["column"]])
    vectors.write_parquet(asked["output"])
    _finish(asked, started)


def _connect(ray: Any, asked: dict[str, Any]) -> None:
    quiet: dict[str, Any] = {"ignore_reinit_error": True, "log_to_driver": False, "logging_level": "error"}
    if not os.environ.get("RAY_ADDRESS"):
        # One of this machine: it has room for the workers, a reader and a writer.
        needed = int(asked["workers"] * asked["resources"].get("cpu", 1)) + 3
        quiet |= {"include_dashboard": False, "num_cpus": max(os.cpu_count() or 1, needed)}
        own = {name: n for name, n in asked["resources"].items() if name not in ("cpu", "gpu")}
        quiet |= {"resources": {name: n * asked["workers"] for name, n in own.items()}}
    ray.init(**quiet)
    # What is amiss is said once, by the program.
    for name in ("ray", "ray.data"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    warnings.filterwarnings("ignore", module="ray")


def _open(asked: dict[str, Any], beside: str) -> None:
    """Refuses a folder with something in it, or a run of other words that is to go on."""
    from pyarrow import fs

    system, folder = fs.FileSystem.from_uri(asked["output"])
    note = f"{fs.FileSystem.from_uri(beside)[1]}/call.json"
    told = {name: value for name, value in asked.items() if name not in _FREE}
    told |= {"version": _native.__version__, "rejects": asked["rejects"] is not None}
    told["files"] = {name: _files(name) for name in (asked["input"], asked["encoder"]["model"])}
    told = json.loads(json.dumps(told))
    there = system.get_file_info(folder).type == fs.FileType.Directory and any(
        system.get_file_info(fs.FileSelector(folder))
    )
    begun = system.get_file_info(note).type == fs.FileType.File
    if not asked["resume"]:
        if there or begun:
            raise UsageError(
                f"{asked['output']} has files, or an earlier run began it: name a folder that is new, or add "
                "--resume to go on with that run"
            )
    elif begun:
        with system.open_input_stream(note) as file:
            before = json.loads(file.read())
        if other := sorted(name for name in {*told, *before} if told.get(name) != before.get(name)):
            raise UsageError(
                f"{asked['output']} was begun by a call that differs in {', '.join(other)}: name another folder, or "
                "give the same words and files"
            )
        return
    elif there:
        raise UsageError(f"{asked['output']} has files that no run of --on ray began: name a folder that is new")
    system.create_dir(os.path.dirname(note), recursive=True)
    with system.open_output_stream(note) as file:
        file.write(json.dumps(told, indent=1).encode())


def _files(place: str) -> list[Any]:
    """Names, sizes and times of the files at `place`; none where it names a model elsewhere."""
    from pyarrow import fs

    if not (os.path.exists(place) or "://" in place):
        return []
    system, path = fs.FileSystem.from_uri(_absolute(place))
    found = system.get_file_info(path)
    all_of_it = [found] if found.type == fs.FileType.File else system.get_file_info(fs.FileSelector(path, recursive=True))
    return sorted([file.path, file.size, file.mtime_ns] for file in all_of_it if file.type == fs.FileType.File)


def _finish(asked: dict[str, Any], started: float) -> None:
    """Counts the rows, writes the rejected ones, and says what came of it."""
    from pyarrow import compute, dataset

    out = dataset.dataset(asked["output"], format="parquet")
    rows, read = out.count_rows(), dataset.dataset(asked["input"], format="parquet").count_rows()
    if rows != read:
        raise IoError(
            f"{asked['output']} has {rows} rows and {asked['input']} {read}: the values of {asked['id']!r} have to be "
            "different in each row"
        )
    rejected = 0
    if asked["rejects"]:
        bad = out.to_table(columns=[asked["id"], "rejected"], filter=compute.field("rejected").is_valid())
        rejected = len(bad)
        part = f"{asked['rejects']}.part"
        with open(part, "w", encoding="utf-8") as file:
            for row in bad.to_pylist():
                file.write(json.dumps({"id": row[asked["id"]], "reason": row["rejected"]}, default=str) + "\n")
        os.replace(part, asked["rejects"])
    if not asked["quiet"]:
        took = time.monotonic() - started
        less = f", {rejected} of them rejected ({asked['rejects']})" if rejected else ""
        print(f"everylayer: {asked['output']}: {rows} rows{less}, {took:.1f} s", file=sys.stderr)


def _absolute(place: str) -> str:
    """A path of this machine whole, an address as it is."""
    return place if "://" in place else os.path.abspath(place)


def _ours(raised: Exception) -> Exception:
    """The exception of this package that a worker has raised: Ray hands on the text of it."""
    found = re.findall(r"^everylayer\._errors\.(\w+): (.*)$", str(raised), re.MULTILINE)
    if not found:
        return raised
    name, said = found[-1]
    of: type[Error] = getattr(_errors, name)
    return of(said)
