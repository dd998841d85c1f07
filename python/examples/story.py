"""The words of a story in every layer, as an array of xarray with named axes.

usage: python story.py
"""

import numpy as np

from everylayer import Encoder

STORY = [
    "The bank of the river was steep.",
    "She went to the bank to open an account.",
    "He sat on the bank and watched the water.",
]


def main() -> None:
    out = Encoder("bundled").embed(STORY, layers="all", pool="words")
    array = out.to_xarray()
    print(array.sizes)
    bank = array.sel(row=array.word == "bank")
    bank = bank / np.sqrt((bank**2).sum("dim"))
    for layer in bank.layer.values:
        a, b, c = bank.sel(layer=layer).values
        print(f"layer {layer}: river/money {a @ b:.3f}, river/river {a @ c:.3f}")


if __name__ == "__main__":
    main()
