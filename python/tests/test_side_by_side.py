"""`encode` and sentence-transformers in one process, on the bundled model and all-mpnet-base-v2 (its folder is
EVERYLAYER_MPNET): the same classes, types, shapes, numbers (1e-5) and exceptions.

Needs torch; `python/test --long` runs it.
"""

import itertools
import os

import pytest

pytest.importorskip("torch")
sentence_transformers = pytest.importorskip("sentence_transformers")

from cases import ARRAYS, CASES, MODELS, compare, described  # noqa: E402

from everylayer import Encoder  # noqa: E402

FOLDERS = {"bundled": str(MODELS["bundled"]), "mpnet": os.environ.get("EVERYLAYER_MPNET")}
CALLS = list(dict.fromkeys((method, inputs, repr(kwargs)) for _, method, inputs, kwargs in CASES))
MATRIX = [
    ("encode", inputs, repr({"normalize_embeddings": normalize, "truncate_dim": dims, "precision": precision, **to}))
    for inputs, normalize, dims, precision, to in itertools.product(
        ("one", "texts"),
        (False, True),
        (None, 100),
        ("float32", "ubinary"),
        ({}, {"convert_to_tensor": True}, {"convert_to_numpy": False}),
    )
]


@pytest.fixture(scope="module", params=list(FOLDERS))
def both(request):
    folder = FOLDERS[request.param]
    if folder is None:
        pytest.skip("EVERYLAYER_MPNET is not set")
    like_the_goldens = {"attn_implementation": "eager", "dtype": "float32"}
    there = sentence_transformers.SentenceTransformer(folder, device="cpu", model_kwargs=like_the_goldens)
    return Encoder(folder, device="cpu"), there


@pytest.mark.parametrize("case", CALLS + MATRIX, ids=str)
def test_encode(both, case):
    here, there = both
    method, inputs, kwargs = case[0], ARRAYS[case[1]], eval(case[2])
    try:
        value = getattr(there, method)(inputs, **kwargs)
    except Exception as error:
        raised = type(error).__name__
        with pytest.raises(Exception) as ours:
            getattr(here, method)(inputs, **kwargs)
        assert raised in {of.__name__ for of in type(ours.value).__mro__}, (error, ours.value)
        return
    numbers = {}
    want = described(value, "it", numbers)
    compare(getattr(here, method)(inputs, **kwargs), want, "it", numbers, str(case))


def test_similarity(both):
    here, there = both
    vectors = there.encode(ARRAYS["texts"], convert_to_tensor=True)
    for name in ("similarity", "similarity_pairwise"):
        numbers = {}
        want = described(getattr(there, name)(vectors, vectors), "it", numbers)
        compare(getattr(here, name)(vectors, vectors), want, "it", numbers, name)
