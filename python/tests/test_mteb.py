"""MTEB, the real one: tasks made here have the scores that sentence-transformers has."""

import pytest

mteb = pytest.importorskip("mteb")
sentence_transformers = pytest.importorskip("sentence_transformers")

import datasets  # noqa: E402
from cases import MODELS, PIPELINES  # noqa: E402
from mteb.abstasks import AbsTaskRetrieval  # noqa: E402
from mteb.abstasks.retrieval_dataset_loaders import RetrievalSplitData  # noqa: E402
from mteb.abstasks.sts import AbsTaskSTS  # noqa: E402
from mteb.abstasks.task_metadata import TaskMetadata  # noqa: E402

from everylayer import UsageError  # noqa: E402
from everylayer.mteb import EverylayerEncoder  # noqa: E402

PAIRS = [
    ("A man is eating food.", "A man is eating a meal.", 4.5),
    ("A woman plays the violin.", "Someone plays an instrument.", 3.5),
    ("The stock market fell.", "Shares lost value today.", 4.0),
    ("A cat sits on the mat.", "The senate passed a bill.", 0.2),
    ("It rains in the north.", "The weather up north is wet.", 4.2),
    ("He bought a new car.", "She read an old book.", 0.8),
]


def about(name, kind, score):
    return TaskMetadata(
        dataset={"path": "made/here", "revision": "1"},
        name=name,
        description="Made in a test.",
        type=kind,
        category="t2t",
        eval_splits=["test"],
        eval_langs=["eng-Latn"],
        main_score=score,
    )


class Pairs(AbsTaskSTS):
    metadata = about("EverylayerPairs", "STS", "cosine_spearman")

    def load_data(self, **kwargs):
        first, second, score = zip(*PAIRS)
        rows = {"sentence1": list(first), "sentence2": list(second), "score": list(score)}
        self.dataset = datasets.DatasetDict({"test": datasets.Dataset.from_dict(rows)})
        self.data_loaded = True


class Finding(AbsTaskRetrieval):
    metadata = about("EverylayerFinding", "Retrieval", "ndcg_at_10")

    def load_data(self, **kwargs):
        first, second, _ = zip(*PAIRS)
        ids = [str(i) for i in range(len(PAIRS))]
        corpus = datasets.Dataset.from_dict({"id": ids, "text": list(second), "title": [""] * len(ids)})
        queries = datasets.Dataset.from_dict({"id": ids, "text": list(first)})
        wanted = {i: {i: 1} for i in ids}
        split = RetrievalSplitData(corpus=corpus, queries=queries, relevant_docs=wanted, top_ranked=None)
        self.dataset = {"default": {"test": split}}
        self.data_loaded = True


def scores(model, task):
    found = mteb.evaluate(model, task, cache=None, co2_tracker=False, show_progress_bar=False)
    numbers = found.task_results[0].scores["test"][0]
    return {name: n for name, n in numbers.items() if isinstance(n, float) and "time" not in name}


@pytest.mark.parametrize("task", [Pairs, Finding])
@pytest.mark.parametrize("name", ["bundled", "prompts"])
def test_the_scores_of_sentence_transformers(task, name):
    there = sentence_transformers.SentenceTransformer(str(MODELS[name]), device="cpu", model_kwargs={"dtype": "float32"})
    here = EverylayerEncoder("bundled" if name == "bundled" else str(MODELS[name]), device="cpu")
    assert isinstance(here, mteb.EncoderProtocol)
    want = scores(there, task())
    assert len(want) >= 8
    assert scores(here, task()) == pytest.approx(want, abs=1e-4, nan_ok=True)


def test_layers_are_told_apart():
    last = EverylayerEncoder(str(PIPELINES / "cls"))
    two = EverylayerEncoder(str(PIPELINES / "cls"), layers="0,-1", pool="mean")
    assert two.mteb_model_meta.embed_dim == 2 * last.mteb_model_meta.embed_dim
    assert two.mteb_model_meta.experiment_name and last.mteb_model_meta.experiment_name is None
    assert two.mteb_model_meta.name == "local/cls"
    assert scores(two, Pairs()) != scores(last, Pairs())


def test_what_is_off():
    with pytest.raises(UsageError, match="chosen by MTEB"):
        EverylayerEncoder("bundled", prompt="a")
    with pytest.raises(UsageError, match="no row a text"):
        EverylayerEncoder(str(PIPELINES / "cls"), pool="words")
    encoder = EverylayerEncoder(str(PIPELINES / "cls"))
    asked = {"task_metadata": Pairs.metadata, "hf_split": "test", "hf_subset": "default"}
    with pytest.raises(UsageError, match="convert_to_tensor"):
        encoder.encode([{"text": ["a"]}], **asked, convert_to_tensor=True)
    with pytest.raises(NotImplementedError, match="image"):
        encoder.encode([{"image": [0]}], **asked)
