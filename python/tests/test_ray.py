"""Ray Data, the real one: each row once, and the bits of one process, whatever becomes of the workers.

With EVERYLAYER_LONG=1 20,000 rows over 1, 2 and 4 actors; without it a smaller corpus over two. A raylet and a
driver that are killed: test_ray_faults.py.
"""

import os

import pytest

ray = pytest.importorskip("ray")
pytest.importorskip("pyarrow")

from corpus import ASKED, LONG, MODEL, ROWS, check, text, vectors_of_one_process  # noqa: E402

QUIET = {"env_vars": {"EVERYLAYER_DEVICE": "cpu", "PYTHONDONTWRITEBYTECODE": "1"}}


@pytest.fixture(scope="module")
def cluster():
    ray.init(num_cpus=6, include_dashboard=False, log_to_driver=False, runtime_env=QUIET, logging_level="error")
    ray.data.DataContext.get_current().enable_progress_bars = False
    yield
    ray.shutdown()


@pytest.fixture(scope="module")
def want():
    return vectors_of_one_process()


def corpus(blocks=8):
    rows = [{"id": i, "text": text(i)} for i in range(ROWS)]
    return ray.data.from_items(rows, override_num_blocks=blocks)


@pytest.mark.parametrize("workers", [1, 2, 4] if LONG else [2])
def test_the_bits_of_one_process(cluster, want, workers):
    from everylayer.ray import embed

    check(embed(corpus(), **ASKED, workers=workers).take_all(), want)


def test_rejects(cluster):
    from everylayer.ray import embed

    rows = [{"text": "good"}, {"text": None}, {"text": "long " * 90}, {"text": "fine"}]
    asked = {"model": MODEL, "device": "cpu", "overflow": "error", "max_tokens": 16}
    out = embed(ray.data.from_items(rows), **asked, on_error="reject").take_all()
    by_text = {row["text"]: row for row in out}
    assert by_text[None]["rejected"] == "the text is null" and by_text[None]["vectors"] is None
    assert "16" in by_text["long " * 90]["rejected"]
    assert by_text["good"]["rejected"] is None and len(by_text["good"]["vectors"]) > 8
    with pytest.raises(Exception, match="null"):
        embed(ray.data.from_items(rows), **asked).take_all()


def test_what_is_off(cluster):
    from everylayer.ray import embed

    with pytest.raises(ValueError, match="on_error"):
        embed(ray.data.from_items([{"text": "a"}]), on_error="skip")
    with pytest.raises(Exception, match="'text' already"):
        embed(ray.data.from_items([{"text": "a"}]), **ASKED, output="text").take_all()


def test_an_actor_that_is_killed_loses_nothing(cluster, want, tmp_path, monkeypatch):
    import everylayer.ray

    mark = tmp_path / "died"

    class Mortal(everylayer.ray.Embed):
        """Ends its process once, in the middle of the corpus."""

        def __call__(self, table):
            if table.column("id")[0].as_py() > ROWS // 2 and not mark.exists():
                mark.touch()
                os._exit(1)
            return super().__call__(table)

    monkeypatch.setattr(everylayer.ray, "Embed", Mortal)
    check(everylayer.ray.embed(corpus(), **ASKED, workers=2, batch_rows=50).take_all(), want)
    assert mark.exists()
