"""`encode` beside sentence-transformers 6.2: the same classes, types, shapes, numbers and exceptions.

What sentence-transformers gave is in sentence_transformers.{json,npz}; calls that give tensors need torch.
"""

import importlib.util
import json
import pathlib

import numpy as np
import pytest
from cases import ARRAYS, CASES, MODELS, PIPELINES, compare

from everylayer import Encoder

HERE = pathlib.Path(__file__).parent
THERE = json.loads((HERE / "sentence_transformers.json").read_text())
NUMBERS = np.load(HERE / "sentence_transformers.npz")
HAS_TORCH = importlib.util.find_spec("torch") is not None
TENSORS = [i for i, found in enumerate(THERE["results"]) if '"Tensor"' in json.dumps(found)]


@pytest.fixture(scope="module")
def models():
    made = {}

    def model(name):
        if name not in made:
            folder = MODELS[name]
            made[name] = Encoder("bundled" if name == "bundled" else folder)
        return made[name]

    return model


def test_the_cases_are_those_that_were_recorded():
    assert THERE["cases"] == [repr(case) for case in CASES]


@pytest.mark.parametrize("i", range(len(CASES)))
def test_encode(models, i):
    model, method, inputs, kwargs = CASES[i]
    there = THERE["results"][i]
    call = getattr(models(model), method)
    if "raises" in there:
        with pytest.raises(Exception) as raised:
            call(ARRAYS[inputs], **kwargs)
        classes = {of.__name__ for of in type(raised.value).__mro__}
        assert there["raises"][0] in classes, (raised.value, there)
        return
    if not HAS_TORCH and (i in TENSORS or "Tensor" in str(there) or (there["class"] == "list" and needs_torch(kwargs))):
        with pytest.raises(ImportError, match="torch"):
            call(ARRAYS[inputs], **kwargs)
        return
    compare(call(ARRAYS[inputs], **kwargs), there, str(i), NUMBERS, f"{CASES[i]}")


def needs_torch(kwargs):
    return kwargs.get("convert_to_numpy") is False or kwargs.get("output_value", "") != ""


@pytest.mark.skipif(not HAS_TORCH, reason="torch is not installed")
def test_tokens_of_a_model_with_token_modules_are_refused(models):
    with pytest.raises(NotImplementedError, match="pool='tokens'"):
        models("token_modules").encode(["a"], output_value="token_embeddings")


def test_signatures_are_those_of_sentence_transformers():
    import inspect

    names = (
        "inputs prompt_name prompt batch_size show_progress_bar output_value precision convert_to_numpy "
        "convert_to_tensor device normalize_embeddings truncate_dim pool chunk_size kwargs"
    ).split()
    defaults = [None, None, 32, None, "sentence_embedding", "float32", True, False, None, False, None, None, None]
    for method in (Encoder.encode, Encoder.encode_query, Encoder.encode_document):
        parameters = list(inspect.signature(method).parameters.values())[1:]
        assert [p.name for p in parameters] == names
        assert [p.default for p in parameters[1:-1]] == defaults


def test_similarity():
    """By the definitions: sentence-transformers, util/similarity.py."""
    from everylayer._sentence import similarity

    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(3, 5)).astype(np.float32), rng.normal(size=(4, 5)).astype(np.float32)
    length = lambda x: np.linalg.norm(x, axis=-1, keepdims=True)  # noqa: E731
    pairs = a[:, None] - b[None]
    want = {
        "cosine": (a / length(a)) @ (b / length(b)).T,
        "dot": a @ b.T,
        "euclidean": -np.sqrt((pairs**2).sum(-1)),
        "manhattan": -np.abs(pairs).sum(-1),
    }
    for name, scores in want.items():
        got = similarity(name, a, b)
        assert got.shape == (3, 4) and got.dtype == np.float32
        np.testing.assert_allclose(got, scores, atol=1e-5)
        np.testing.assert_allclose(similarity(name, a[0], b), scores[:1], atol=1e-5)
        np.testing.assert_allclose(similarity(name, list(a), b[:3], pairwise=True), np.diag(scores), atol=1e-5)
    with pytest.raises(ValueError, match="maxsim"):
        similarity("maxsim", a, b)
    with pytest.raises(ValueError, match="wide"):
        similarity("dot", a, b[:, :3])


def test_similarity_of_a_checkpoint():
    encoder = Encoder(PIPELINES / "cls")
    assert encoder.similarity_fn_name == "cosine"
    vectors = encoder.encode(["one", "two"])
    np.testing.assert_allclose(np.diag(encoder.similarity(vectors, vectors)), 1, atol=1e-6)
    np.testing.assert_allclose(encoder.similarity_pairwise(vectors, vectors), 1, atol=1e-6)
