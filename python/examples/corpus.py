"""Layers of a corpus by Ray Data: a Parquet file in, Parquet files with vectors out, resumed where it was cut off.

usage: python corpus.py IN.parquet OUT WORKERS     (IN has the columns `id` and `text`)
"""

import sys

import ray
from ray.data.checkpoint import CheckpointConfig

from everylayer.ray import embed


def main(source: str, out: str, workers: int) -> None:
    ray.init(ignore_reinit_error=True, log_to_driver=False)
    ray.data.DataContext.get_current().checkpoint_config = CheckpointConfig(
        id_column="id",
        checkpoint_path=f"{out}.done",
        delete_checkpoint_on_success=False,
    )
    # A block is what a worker takes and writes, and does again where it was cut off.
    corpus = ray.data.read_parquet(source).repartition(target_num_rows_per_block=200)
    vectors = embed(corpus, "text", layers="-4..-1", combine="mean", workers=workers, on_error="reject")
    vectors.write_parquet(out)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
