"""BERT-as-Service's numbers: every pooling, layers, masks and lengths, through the real client.

The reference is NumPy in float64: the forward pass of BERT padded and masked as the original's graph
does it (`bert/modeling.py`, `graph.py`), first held to the states that Transformers wrote
(tests/fixtures), so that what masks change is all that rests on it alone.
"""
import functools
import json
import math

import numpy as np
from bert_serving.client import BertClient
from safetensors.numpy import load_file

from common import ROOT, Bert, check, end, near

# The project's bar for a state against Transformers in f32: 5e-5, times the largest number.
BAR = 5e-5
ERF = np.frompyfunc(math.erf, 1, 1)
PATIENCE = {"timeout": 30_000, "check_length": False}


class Model:
    """A checkpoint's forward pass, and its texts with their tokens from Transformers."""

    def __init__(self, folder, goldens):
        self.folder = ROOT / folder
        self.config = json.loads((self.folder / "config.json").read_text())
        weights = load_file(self.folder / "model.safetensors")
        self.weights = {name.removeprefix("bert."): w.astype(np.float64) for name, w in weights.items()}
        self.texts = {t["name"]: t for t in json.loads((ROOT / f"{goldens}.json").read_text())["texts"]}
        self.order = list(self.texts)
        self.states = load_file(ROOT / f"{goldens}.safetensors")
        self.layers = self.config["num_hidden_layers"]

    def linear(self, x, at):
        return x @ self.weights[f"{at}.weight"].T + self.weights[f"{at}.bias"]

    def norm(self, x, at):
        x = x - x.mean(-1, keepdims=True)
        x /= np.sqrt((x * x).mean(-1, keepdims=True) + self.config["layer_norm_eps"])
        return x * self.weights[f"{at}.weight"] + self.weights[f"{at}.bias"]

    def act(self, x):
        name = self.config["hidden_act"]
        if name == "gelu":
            return x * 0.5 * (1 + ERF(x / math.sqrt(2)).astype(np.float64))
        assert name == "silu", name
        return x / (1 + np.exp(-x))

    @functools.lru_cache(maxsize=None)
    def encoders(self, ids, types, mask, positions=True):
        """Outputs of the encoder layers, (layers, length, width), and the embeddings; of tuples."""
        ids, types = np.array(ids), np.array(types)
        at, w = "embeddings", self.weights
        x = w[f"{at}.word_embeddings.weight"][ids] + w[f"{at}.token_type_embeddings.weight"][types]
        if positions:
            x = x + w[f"{at}.position_embeddings.weight"][: len(ids)]
        x = first = self.norm(x, f"{at}.LayerNorm")
        heads = self.config["num_attention_heads"]
        split = lambda y: y.reshape(len(ids), heads, -1).transpose(1, 0, 2)
        far = (1.0 - np.asarray(mask, np.float64)) * -10000.0
        out = []
        for layer in range(self.layers):
            at = f"encoder.layer.{layer}"
            q, k, v = (split(self.linear(x, f"{at}.attention.self.{p}")) for p in ("query", "key", "value"))
            scores = q @ k.transpose(0, 2, 1) / math.sqrt(q.shape[-1]) + far
            scores = np.exp(scores - scores.max(-1, keepdims=True))
            context = (scores / scores.sum(-1, keepdims=True)) @ v
            context = context.transpose(1, 0, 2).reshape(len(ids), -1)
            x = self.norm(self.linear(context, f"{at}.attention.output.dense") + x, f"{at}.attention.output.LayerNorm")
            inner = self.act(self.linear(x, f"{at}.intermediate.dense"))
            x = self.norm(self.linear(inner, f"{at}.output.dense") + x, f"{at}.output.LayerNorm")
            out.append(x)
        return np.stack(out), first

    def text(self, name):
        """As the client sends it."""
        t = self.texts[name]
        return t["text"] if t.get("pair") is None else f"{t['text']} ||| {t['pair']}"

    def features(self, name, limit, words):
        """(ids, types, mask) as `convert_lst_to_features` makes them, without the padding."""
        t = self.texts[name]
        ids, types = np.array(t["ids"]), np.array(t["types"])
        special = [word is None for word in t["words"]]
        cls, sep = ids[0], ids[-1]
        parts = [[i for i, s, k in zip(ids, special, types) if not s and k == kind] for kind in (0, 1)]
        a, b = parts
        if b:
            while len(a) + len(b) > limit - 3:
                (a if len(a) > len(b) else b).pop()
        del a[limit - 2 :]
        edge = 0 if "-mask_cls_sep" in words else 1
        ids, types = [cls, *a, sep], [0] * (len(a) + 2)
        mask = [edge, *[1] * len(a), edge]
        if b:
            ids, types, mask = ids + b + [sep], types + [1] * (len(b) + 1), mask + [1] * len(b) + [edge]
        if "-no_special_token" in words:
            ids, types, mask = list(a), [0] * len(a), [1] * len(a)
        return ids, types, mask


def pooled(strategy, h, mask, pooler):
    """`graph.py`: h is (length, width × layers)."""
    m = np.asarray(mask, np.float64)[:, None]
    mean = lambda: (h * m).sum(0) / (m.sum() + 1e-10)
    largest = lambda: (h - (1 - m) * 1e30).max(0)
    return {
        "NONE": lambda: h * m,
        "REDUCE_MEAN": mean,
        "REDUCE_MAX": largest,
        "REDUCE_MEAN_MAX": lambda: np.concatenate([mean(), largest()]),
        "FIRST_TOKEN": lambda: h[0],
        "CLS_TOKEN": lambda: h[0],
        "LAST_TOKEN": lambda: h[int(m.sum()) - 1],
        "SEP_TOKEN": lambda: h[int(m.sum()) - 1],
        "CLS_POOLED": lambda: pooler,
    }[strategy]()


def reference(model, names, strategy, layers, length, words):
    """What the original's graph makes of these texts."""
    limit = length or model.config["max_position_embeddings"]
    every = [model.features(name, limit, words) for name in names]
    longest = max(len(ids) for ids, _, _ in every)
    full = "-fixed_embed_length" in words
    room = length or (model.config["max_position_embeddings"] if full else longest)
    out = []
    for ids, types, mask in every:
        pad = [0] * (room - len(ids))
        states, _ = model.encoders(
            tuple(ids + pad), tuple(types + pad), tuple(mask + pad), "-no_position_embeddings" not in words
        )
        pooler = np.tanh(model.linear(states[-1][0], "pooler.dense"))
        # An index of the list of encoder layers; several are concatenated on the last axis.
        h = np.concatenate([states[k] for k in layers], axis=-1)
        out.append(pooled(strategy, h, mask + pad, pooler))
    return np.stack(out)


def anchored(model):
    """The reference itself against Transformers, where nothing is masked."""
    for i, name in enumerate(model.order):
        ids, types = model.texts[name]["ids"], model.texts[name]["types"]
        if len(ids) > 64:
            continue
        states, first = model.encoders(tuple(ids), tuple(types), (1,) * len(ids))
        want = model.states[f"{i}.states"]
        near(np.concatenate([first[None], states]), want, BAR * max(1, np.abs(want).max()))


def held(model, names, strategy, layers, length=25, words=(), tokenized=False):
    """One server, its numbers against the reference."""
    words = list(words)
    shown = " ".join([strategy, *map(str, layers), f"max_seq_len {length}", *words])

    def work():
        want = reference(model, names, strategy, layers, length, words)
        options = ["-model_dir", model.folder, "-pooling_strategy", strategy, "-max_seq_len", length or "NONE"]
        with Bert(*options, *words, "-pooling_layer", *layers) as server:
            with BertClient(**server.ports, **PATIENCE) as client:
                if tokenized:
                    tokens = [[p for p, w in zip(model.texts[n]["tokens"], model.texts[n]["words"]) if w is not None] for n in names]
                    got = client.encode(tokens, is_tokenized=True)
                else:
                    got = client.encode([model.text(name) for name in names])
        near(got, want, BAR * max(1, np.abs(want).max()))

    check(f"bert numbers: {model.folder.name} {shown}", work)


if __name__ == "__main__":
    bundled = Model("models/all-MiniLM-L6-v2", "tests/fixtures/goldens/minilm")
    tiny = Model(*["tests/fixtures/checkpoints/tiny-d64-silu", "tests/fixtures/checkpoints/tiny-d64-silu/goldens"])
    for model in (bundled, tiny):
        check(f"bert numbers: the reference against Transformers, {model.folder.name}", lambda: anchored(model))
    some = ["hello-world", "question", "prose", "german", "pair", "mixed-scripts"]
    few = ["hello", "sentence", "unknown", "pair", "exactly-max"]
    every = ["NONE", "REDUCE_MEAN", "REDUCE_MAX", "REDUCE_MEAN_MAX", "FIRST_TOKEN", "CLS_TOKEN", "LAST_TOKEN", "SEP_TOKEN", "CLS_POOLED"]
    for strategy in every:
        held(bundled, some, strategy, [-2])
        held(bundled, some, strategy, [0, 3, -1], 12)
        held(tiny, few, strategy, [-1], words=["-mask_cls_sep"])
    for layers in ([0], [-1, -2], [5, 4, 3, 2, 1, 0], [1, 1]):
        held(bundled, some, "REDUCE_MEAN", layers)
    held(bundled, some, "REDUCE_MEAN", [-2], words=["-mask_cls_sep"])
    held(bundled, some, "NONE", [-1, -4], words=["-mask_cls_sep"])
    held(bundled, ["pair-long", "hello"], "CLS_POOLED", [-1], 20, ["-mask_cls_sep"])
    held(tiny, few, "NONE", [-2], None)
    held(tiny, few, "NONE", [-2, -1], None, ["-fixed_embed_length"])
    held(tiny, few, "REDUCE_MEAN_MAX", [0, 1], 4)
    held(tiny, ["pair-over-max", "exactly-max", "hello"], "NONE", [0, 1], 9)
    held(tiny, few, "REDUCE_MEAN", [0, 1], words=["-no_position_embeddings"])
    held(bundled, some, "NONE", [-2], words=["-no_position_embeddings", "-mask_cls_sep"])
    held(tiny, ["sentence", "hello"], "REDUCE_MEAN", [-1], words=["-no_special_token"], tokenized=True)
    end()
