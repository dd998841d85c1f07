"""`embed`, `hidden_states`, `tokenize`, `info`: shapes, numbers against the goldens, what rows stand for."""

import json

import numpy as np
import pytest
from conftest import FIXTURES

from everylayer import Embeddings, Encoder, UsageError

TEXTS = ["Hello, world!", "unbelievable naïve \U0001f600 words", "x"]


@pytest.fixture(scope="module")
def goldens():
    """Texts through Transformers, by tests/fixtures/make_goldens.py."""
    from_numpy = pytest.importorskip("safetensors.numpy")
    numbers = from_numpy.load_file(FIXTURES / "goldens" / "minilm.safetensors")
    return json.loads((FIXTURES / "goldens" / "minilm.json").read_text())["texts"], numbers


def test_hidden_states_are_those_of_transformers(encoder, goldens):
    texts, numbers = goldens
    checked = 0
    for i, text in enumerate(texts):
        if "pair" in text or text["max_tokens"] < 256 or len(text["ids"]) > 100:
            continue
        states = encoder.hidden_states(text["text"])
        assert states.dtype == np.float32 and states.flags.c_contiguous
        np.testing.assert_allclose(states, numbers[f"{i}.states"], atol=1e-4, err_msg=text["name"])
        out = encoder.embed(text["text"], layers="all", pool="tokens")
        assert list(out.tokens) == text["tokens"] and out.token_ids.tolist() == text["ids"]
        assert out.spans.tolist() == text["offsets"]
        assert [None if w < 0 else w for w in out.word_ids.tolist()] == text["words"]
        checked += 1
    assert checked > 10


def test_a_pair_is_a_tuple(encoder, goldens):
    texts, numbers = goldens
    i, text = next((i, t) for i, t in enumerate(texts) if "pair" in t)
    out = encoder.embed([(text["text"], text["pair"])], layers="all", pool="tokens", max_tokens=text["max_tokens"])
    np.testing.assert_allclose(out._states.transpose(1, 0, 2), numbers[f"{i}.states"], atol=1e-4)


@pytest.mark.parametrize(
    ("words", "shape", "layers"),
    [
        ({}, (3, 384), [6]),
        ({"layers": "all"}, (3, 7, 384), [0, 1, 2, 3, 4, 5, 6]),
        ({"layers": "blocks", "pool": "cls"}, (3, 6, 384), [1, 2, 3, 4, 5, 6]),
        ({"layers": [0, 6, -2]}, (3, 3, 384), [0, 6, 5]),
        ({"layers": np.array([1, 2])}, (3, 2, 384), [1, 2]),
        ({"layers": range(2, 5)}, (3, 3, 384), [2, 3, 4]),
        ({"layers": -1}, (3, 384), [6]),
        ({"layers": "-4..-1", "combine": "mean"}, (3, 384), [3, 4, 5, 6]),
        ({"layers": "-2..", "combine": "concat"}, (3, 768), [5, 6]),
        ({"layers": "1,2", "combine": "weighted=1,3"}, (3, 384), [1, 2]),
        ({"layers": "1,2", "combine": "scalar-mix=0,1;2"}, (3, 384), [1, 2]),
        ({"layers": "all", "pool": "mean-max", "combine": "max"}, (3, 768), [0, 1, 2, 3, 4, 5, 6]),
        ({"dims": 7, "normalize": True}, (3, 7), [6]),
        ({"layers": "all", "precision": "ubinary"}, (3, 7, 48), [0, 1, 2, 3, 4, 5, 6]),
        ({"precision": "f16"}, (3, 384), [6]),
        ({"precision": "int8"}, (3, 384), [6]),
    ],
)
def test_one_row_a_text(encoder, words, shape, layers):
    out = encoder.embed(TEXTS, **words)
    assert out.vectors.shape == shape and out.layers == layers and out.rows == "texts"
    types = {"f16": np.float16, "int8": np.int8, "ubinary": np.uint8}
    assert out.vectors.dtype == types.get(words.get("precision"), np.float32)
    assert out.offsets.tolist() == [0, 1, 2, 3] and out.spans is None and out.words is None
    assert len(out) == 3 and out[-1].shape == shape[1:]
    assert np.array_equal(np.stack(list(out)), out.vectors)
    assert np.asarray(out) is out.vectors
    # A text's numbers are the same bits alone.
    if words.get("precision") != "int8":
        assert np.array_equal(encoder.embed(TEXTS[1], **words).vectors, out.vectors[1:2])


@pytest.mark.parametrize("layers", ["last", "all", "0,-1"])
@pytest.mark.parametrize("pool", ["tokens", "words", "words:first-last"])
def test_rows_of_tokens_and_words(encoder, layers, pool):
    together = encoder.embed(TEXTS, layers=layers, pool=pool)
    alone = [encoder.embed(text, layers=layers, pool=pool) for text in TEXTS]
    assert np.array_equal(together.vectors, np.concatenate([one.vectors for one in alone]))
    assert together.offsets.tolist() == np.cumsum([0, *(len(one.vectors) for one in alone)]).tolist()
    assert np.array_equal(together.spans, np.concatenate([one.spans for one in alone]))
    for i, one in enumerate(alone):
        assert np.array_equal(together[i], one.vectors)
    states = encoder.hidden_states(TEXTS[1])
    assert together._states.shape[1:] == (len(together.layers), 768 if pool == "words:first-last" else 384)
    if pool == "tokens":
        assert np.array_equal(together._states[slice(*together.offsets[1:3])], states[together.layers].transpose(1, 0, 2))
    else:
        assert list(together.words) == ["Hello", ",", "world", "!", "unbelievable", "naïve", "\U0001f600", "words", "x"]
        for word, (start, end), text in zip(together.words, together.spans, [TEXTS[0]] * 4 + [TEXTS[1]] * 4 + [TEXTS[2]]):
            assert text[start:end] == word


def test_combinations_are_of_the_states(encoder):
    states = encoder.hidden_states(TEXTS[0])
    for combine, want in [
        ("mean", states[3:].mean(0)),
        ("sum", states[3:].sum(0)),
        ("max", states[3:].max(0)),
        ("concat", np.concatenate(list(states[3:]), axis=-1)),
    ]:
        out = encoder.embed(TEXTS[0], layers="-4..-1", combine=combine, pool="tokens")
        np.testing.assert_allclose(out.vectors, want, atol=1e-5)


def test_long_texts(encoder):
    long = "word " * 600
    out = encoder.embed([long, "short"], overflow="truncate")
    assert out.truncated == 1 and out.lost.tolist() == [602 - 256, 0] and out.text_tokens.tolist() == [256, 3]
    assert encoder.embed(long, overflow="window", pool="tokens").vectors.shape == (602, 384)
    assert encoder.embed(long, overflow="window:10").truncated == 0
    with pytest.raises(ValueError, match="text 1.*512|text 1.*256") as raised:
        encoder.embed(["short", long], overflow="error")
    assert raised.value.kind == "too_long"


def test_what_the_result_says(encoder):
    out = encoder.embed(TEXTS, layers="all", combine="mean", pool="mean")
    assert (out.combine, out.pool, out.precision, out.dtype) == ("mean", "mean", "f32", "f32")
    assert "MiniLM" in out.model and out.device == encoder.device and out.width == 384 and out.rerun == []
    assert repr(out).startswith("Embeddings(3 texts, vectors float32 (3, 384)")
    with pytest.raises(IndexError):
        out[3]
    assert isinstance(out, Embeddings)


def test_tokenize(encoder):
    one, two = encoder.tokenize(["Hello", "unbelievable"])
    assert one["ids"] == [101, 7592, 102] and one["text_tokens"] == 3 and one["tokens_lost"] == 0
    assert one["tokens"][1] == {"text": "hello", "id": 7592, "start": 0, "end": 5, "word": 0}
    assert two["words"] == [{"text": "unbelievable", "start": 0, "end": 12}]
    assert encoder.tokenize([]) == []
    assert encoder.tokenize("word " * 9, max_tokens=4)[0]["tokens_lost"] == 7


def test_prompts():
    encoder = Encoder(FIXTURES / "pipelines" / "prompts")
    assert {"query", "document"} <= set(encoder.prompts)
    named = encoder.embed("a text", prompt_name="query").vectors
    assert np.array_equal(named, encoder.embed("a text", prompt=encoder.prompts["query"]).vectors)
    assert np.array_equal(named[0], encoder.encode_query("a text"))
    with pytest.raises(UsageError, match="'none'.*query"):
        encoder.embed("a text", prompt_name="none")


def test_info(encoder):
    info = encoder.info()
    assert info["model"]["layers"] == 6 == encoder.depth and info["model"]["width"] == 384 == encoder.width
    assert info["memory"]["batch_tokens"] == encoder.batch_tokens == 8192
    assert encoder.max_seq_length == 256 and encoder.get_embedding_dimension() == 384
    assert "MiniLM" in encoder.model and "bundled" in repr(encoder)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ({"layers": "7"}, "layer 7.*out of range"),
        ({"layers": [True]}, "True"),
        ({"layers": [1.5]}, "1.5"),
        ({"layers": []}, "no layer"),
        ({"layers": "al"}, "al"),
        ({"combine": "meen"}, "did you mean `mean`"),
        ({"combine": None}, "combine is None"),
        ({"pool": "avg"}, "did you mean `mean`"),
        ({"pool": 3}, "pool is 3"),
        ({"normalize": 1}, "normalize is 1"),
        ({"dims": 0}, "dims is 0"),
        ({"dims": -1}, "dims is -1"),
        ({"dims": 2.5}, "dims is 2.5"),
        ({"dims": True}, "dims is True"),
        ({"dims": 2**64}, "dims is 1844"),
        ({"dims": 385}, "385"),
        ({"precision": "f8"}, "f8"),
        ({"max_tokens": 513}, r"513.*\(`max_tokens`\)"),
        ({"overflow": "cut"}, "cut"),
        ({"route": "both"}, "both"),
        ({"prompt": 1}, "prompt is 1"),
    ],
)
def test_arguments_that_are_off(encoder, words, says):
    with pytest.raises(ValueError, match=says) as raised:
        encoder.embed(TEXTS, **words)
    assert raised.value.kind == "usage"


def test_sites_are_read_inside_the_blocks(encoder):
    z = encoder.embed(["a bank", "a river"], site="z", layers=[1, 6], pool="tokens")
    assert (z.site, z.heads, z.head_dim, z.layers) == ("z", 12, 32, [1, 6])
    assert z.vectors.shape == (8, 2, 384)
    assert encoder.embed("a bank", site="mlp_act", layers="blocks", pool="mean").vectors.shape == (1, 6, 1536)
    # The hidden state of a post-norm block is the sum of the two others, normalised, times a weight and plus a bias.
    parts = [encoder.embed("a bank", site=site, layers=3, pool="tokens").vectors for site in ("resid_mid", "mlp_out", "hidden")]
    total = parts[0] + parts[1]
    centred = (total - total.mean(1, keepdims=True)) / total.std(1, keepdims=True)
    weight, bias = np.linalg.lstsq(np.c_[centred[:, 0], np.ones(len(centred))], parts[2][:, 0], rcond=None)[0]
    assert np.abs(centred[:, 0] * weight + bias - parts[2][:, 0]).max() < 1e-4
    hidden = encoder.embed("a bank")
    assert (hidden.site, hidden.heads, hidden.head_dim) == ("hidden", None, None)
    with pytest.raises(UsageError, match="layer 0"):
        encoder.embed("a bank", site="z", layers="0")
    with pytest.raises(UsageError, match="final_norm|final norm"):
        encoder.embed("a bank", final_norm=False)
