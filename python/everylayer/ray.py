"""Vectors of a corpus by Ray Data, on as many machines as there are: ``everylayer[ray]``.

>>> import ray
>>> from everylayer.ray import embed
>>> embed(ray.data.read_parquet("corpus"), "text", layers="-4..-1", combine="mean", workers=4).write_parquet("out")

A run that is cut off goes on by Ray's own checkpoint, set before the dataset is read:

>>> from ray.data.checkpoint import CheckpointConfig
>>> ray.data.DataContext.get_current().checkpoint_config = CheckpointConfig(
...     id_column="id", checkpoint_path="/shared/done", delete_checkpoint_on_success=False)
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import ray.data

from ._column import OnError, TableEmbedder, check_on_error, encoder_arguments, rows_of_a_batch

logger = logging.getLogger("everylayer")

# Texts that are looked at to tell how long they are.
_SAMPLE = 64


class Embed(TableEmbedder):
    """An actor of Ray Data: a table with a column of texts to the same table with their vectors.

    To be given to ``Dataset.map_batches(..., batch_format="pyarrow")``, which `embed` does.
    """


def embed(
    dataset: ray.data.Dataset,
    column: str = "text",
    *,
    model: str = "bundled",
    device: str | None = None,
    dtype: str | None = None,
    batch_tokens: int | None = None,
    verify: str | None = None,
    output: str = "vectors",
    rejects: str = "rejected",
    on_error: OnError = "raise",
    workers: int = 1,
    num_cpus: float = 1,
    num_gpus: float | None = None,
    resources: Mapping[str, float] | None = None,
    batch_rows: int | None = None,
    **capture: Any,
) -> ray.data.Dataset:
    """`dataset` with a column of vectors.

    Each worker is an actor that loads the model once. A text's vectors do not depend on the rows that it
    comes with: on the CPU they are the same bits with any number of workers.

    Parameters
    ----------
    dataset : ray.data.Dataset
        What has the texts; its other columns stay.
    column : str
        The column of the texts.
    model, device, dtype, batch_tokens, verify
        As of `everylayer.Encoder`, on each worker.
    output : str
        The column of the vectors: lists of fixed size, in a list of rows for tokens and words.
    rejects, on_error : str
        With ``on_error="reject"`` a text that cannot be embedded has a null there and the reason in the
        column `rejects`; with ``"raise"`` it ends the job.
    workers : int
        How many actors. Reading and writing need a CPU beside theirs.
    num_cpus, num_gpus, resources
        What Ray reserves for each actor: ``num_gpus=1`` where Ray sees the GPU, a resource of your own such
        as ``{"vulkan": 1}`` (``ray start --resources '{"vulkan": 1}'``) where it does not. On the CPU an actor
        has ``num_cpus`` threads.
    batch_rows : int, optional
        Rows of a call. The default makes some batches of the engine of it, by the length of the first texts.
    **capture
        As of `Encoder.embed`: ``layers``, ``combine``, ``pool`` and others.

    Returns
    -------
    ray.data.Dataset
        Lazy, as Ray's are.
    """
    check_on_error(on_error)
    _check_room(workers * num_cpus)
    if batch_rows is None:
        sample = [row[column] for row in dataset.select_columns([column]).take(_SAMPLE)]
        batch_rows = rows_of_a_batch(sample, batch_tokens, capture)
    encoder = encoder_arguments(model, device, dtype, batch_tokens, verify)
    arguments = {
        "column": column,
        "output": output,
        "rejects": rejects,
        "encoder": encoder,
        "capture": capture,
        "on_error": on_error,
        "threads": max(int(num_cpus), 1),
    }
    return dataset.map_batches(
        Embed,
        fn_constructor_kwargs=arguments,
        batch_format="pyarrow",
        batch_size=batch_rows,
        compute=ray.data.ActorPoolStrategy(size=workers),
        num_cpus=num_cpus,
        num_gpus=num_gpus,
        resources=dict(resources) if resources else None,
        udf_modifying_row_count=False,
    )


def _check_room(reserved: float) -> None:
    """Says where the workers leave nothing for the tasks of Ray Data; a cluster may still grow."""
    resources: Any = ray.cluster_resources
    if ray.is_initialized() and reserved >= (cpus := resources().get("CPU", 0)):
        logger.warning(
            "the workers reserve %g CPUs and the cluster has %g: reading and writing wait for one, so ask for fewer "
            "workers or a smaller num_cpus",
            reserved,
            cpus,
        )
