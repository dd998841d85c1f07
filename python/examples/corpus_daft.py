"""Layers of a corpus by Daft: Parquet in, Parquet with vectors out.

usage: python corpus_daft.py IN OUT     (IN has a column `text`)
"""

import sys

import daft

from everylayer.daft import embed


def main(source: str, out: str) -> None:
    corpus = daft.read_parquet(source)
    vectors = embed(corpus["text"], layers="-4..-1", combine="mean")
    corpus.with_column("vectors", vectors).write_parquet(out)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
