"""Layers of a corpus by Spark: Parquet in, Parquet with vectors out.

usage: python corpus_spark.py IN OUT     (IN has a column `text`; or by spark-submit)
"""

import sys

from pyspark.sql import SparkSession  # pyright: ignore[reportMissingImports]

from everylayer.spark import embed


def main(source: str, out: str) -> None:
    spark = SparkSession.builder.appName("layers of a corpus").getOrCreate()
    corpus = spark.read.parquet(source)
    vectors = embed(corpus, "text", layers="-4..-1", combine="mean", on_error="reject")
    vectors.write.parquet(out)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
