#!/usr/bin/env python3
"""Writes what sentence-transformers gives for the calls in cases.py: sentence_transformers.{json,npz}.

usage: python python/tests/make_sentence_transformers.py     (sentence-transformers 6.2, torch on the CPU)
"""

import json
import pathlib

import numpy as np
import sentence_transformers
import torch
from cases import ARRAYS, CASES, MODELS, described
from sentence_transformers import SentenceTransformer

HERE = pathlib.Path(__file__).parent


def main():
    assert sentence_transformers.__version__.startswith("6.2"), sentence_transformers.__version__
    torch.set_num_threads(1)
    models = {
        name: SentenceTransformer(str(folder), device="cpu", model_kwargs={"attn_implementation": "eager", "dtype": "float32"})
        for name, folder in MODELS.items()
    }
    results, numbers = [], {}
    for i, (model, method, inputs, kwargs) in enumerate(CASES):
        try:
            value = getattr(models[model], method)(ARRAYS[inputs], **kwargs)
        except Exception as error:
            results.append({"raises": [of.__name__ for of in type(error).__mro__[:-2]], "says": str(error)[:100]})
        else:
            results.append(described(value, str(i), numbers))
    made_with = {"sentence-transformers": sentence_transformers.__version__, "torch": torch.__version__}
    whole = {"made_with": made_with, "cases": [repr(case) for case in CASES], "results": results}
    (HERE / "sentence_transformers.json").write_text(json.dumps(whole, indent=1) + "\n")
    np.savez_compressed(HERE / "sentence_transformers.npz", **numbers)


main()
