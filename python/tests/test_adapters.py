"""scikit-learn and LangChain, the real ones."""

import pickle

import numpy as np
import pytest

TEXTS = ["one text", "another text", "and a third"]


class TestSklearn:
    @pytest.fixture(autouse=True)
    def library(self):
        pytest.importorskip("sklearn")

    def test_check_estimator(self):
        from sklearn.utils import estimator_checks
        from sklearn.utils.estimator_checks import check_estimator

        from everylayer.sklearn import LayerEmbedder

        results = check_estimator(LayerEmbedder(), on_fail=None)
        assert not [(one["check_name"], one["exception"]) for one in results if one["status"] == "failed"]
        # Of an estimator of strings check_estimator runs few; these give it no data, so that they apply too.
        for name in (
            "estimator_cloneable",
            "estimator_repr",
            "get_params_invariance",
            "set_params",
            "no_attributes_set_in_init",
            "estimator_tags_renamed",
            "valid_tag_types",
            "mixin_order",
        ):
            getattr(estimator_checks, f"check_{name}")("LayerEmbedder", LayerEmbedder())
        estimator_checks.check_parameters_default_constructible("LayerEmbedder", LayerEmbedder())

    def test_vectors(self, encoder):
        from sklearn.base import clone

        from everylayer.sklearn import LayerEmbedder

        embedder = clone(LayerEmbedder(layers=[1, 2], pool="mean")).fit(TEXTS)
        got = embedder.transform(np.array(TEXTS))
        assert np.array_equal(got, encoder.embed(TEXTS, layers="1,2", pool="mean").vectors.reshape(3, -1))
        assert embedder.transform([]).shape == (0, 768) and len(embedder.get_feature_names_out()) == 768
        again = pickle.loads(pickle.dumps(embedder))
        assert np.array_equal(again.transform(TEXTS), got)

    def test_what_is_off(self):
        from sklearn.exceptions import NotFittedError

        from everylayer.sklearn import LayerEmbedder

        with pytest.raises(NotFittedError):
            LayerEmbedder().transform(TEXTS)
        with pytest.raises(ValueError, match="no row a text"):
            LayerEmbedder(pool="tokens").fit(TEXTS)
        with pytest.raises(ValueError, match="out of range"):
            LayerEmbedder(layers=9).fit(TEXTS)
        with pytest.raises(ValueError, match="one str"):
            LayerEmbedder().fit(TEXTS).transform("text")

    def test_the_best_layer_of_the_example(self, capsys):
        import runpy
        from conftest import FIXTURES

        runpy.run_path(FIXTURES.parents[1] / "python" / "examples" / "probe.py", run_name="__main__")
        said = capsys.readouterr().out.splitlines()
        scores = [float(line.split()[-1]) for line in said[:7]]
        assert said[7] == f"best: layer {int(np.argmax(scores))}" and max(scores) > 0.9


class TestLangchain:
    @pytest.fixture(autouse=True)
    def library(self):
        pytest.importorskip("langchain_core")

    def test_lists_of_floats(self, encoder):
        from everylayer.langchain import EverylayerEmbeddings

        embeddings = EverylayerEmbeddings("bundled")
        assert embeddings.embed_documents([]) == []
        got = embeddings.embed_documents(TEXTS)
        assert np.array_equal(np.array(got, dtype=np.float32), encoder.encode(TEXTS))
        assert embeddings.embed_query(TEXTS[0]) == got[0] and type(got[0][0]) is float

    def test_a_vector_store(self):
        from langchain_core.vectorstores import InMemoryVectorStore

        from everylayer.langchain import EverylayerEmbeddings

        store = InMemoryVectorStore(EverylayerEmbeddings("bundled"))
        store.add_texts(["Cats chase mice.", "The stock market fell.", "Dogs bark at night."])
        assert store.similarity_search("finance", k=1)[0].page_content == "The stock market fell."


try:
    from langchain_tests.integration_tests import EmbeddingsIntegrationTests
except ImportError:

    @pytest.mark.skip(reason="langchain-tests is not installed")
    def test_the_suite_of_langchain():
        """The suite of langchain-core for embeddings."""
else:

    class TestSuiteOfLangchain(EmbeddingsIntegrationTests):
        """The suite of langchain-core for embeddings."""

        @property
        def embeddings_class(self):
            from everylayer.langchain import EverylayerEmbeddings

            return EverylayerEmbeddings

        @property
        def embedding_model_params(self):
            return {"model": "bundled", "device": "cpu"}


def test_story_example(capsys):
    pytest.importorskip("xarray")
    import runpy
    from conftest import FIXTURES

    runpy.run_path(FIXTURES.parents[1] / "python" / "examples" / "story.py", run_name="__main__")
    assert len(capsys.readouterr().out.splitlines()) == 8
