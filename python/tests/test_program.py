"""The program in the wheel: the engine's own command line."""

import json
import subprocess
import sys

import everylayer
import pytest


def run(*words, **more):
    return subprocess.run(
        [sys.executable, "-m", "everylayer", *words], capture_output=True, text=True, timeout=120, **more
    )


def test_version_and_help():
    assert run("--version").stdout == f"everylayer {everylayer.__version__}\n"
    done = run("--help")
    assert done.returncode == 0 and "Usage: everylayer" in done.stdout and "embed" in done.stdout


def test_a_vector(encoder):
    done = run("embed", "Hello", "--device", "cpu", "--quiet")
    assert done.returncode == 0 and done.stderr == ""
    assert json.loads(done.stdout)["results"][0]["vectors"] == pytest.approx(encoder.encode("Hello").tolist(), abs=1e-6)


def test_standard_input():
    done = run("embed", "-", "--device", "cpu", "--quiet", "-f", "jsonl", input="a\nb\n")
    assert [json.loads(line)["index"] for line in done.stdout.splitlines()] == [0, 1]


@pytest.mark.parametrize(("words", "code"), [(["embed", "Hi", "--layers", "99"], 2), (["none"], 2), (["info", "-m", "/no/such"], 1)])
def test_errors(words, code):
    done = run(*words)
    assert done.returncode == code and done.stdout == ""
    assert done.stderr.startswith("everylayer: error: ") and len(done.stderr.splitlines()) == 1


def test_the_entry_point():
    from importlib.metadata import entry_points

    found = next(iter(entry_points(group="console_scripts", name="everylayer")), None)
    if found is None:
        pytest.skip("everylayer is not installed from its wheel")
    assert found.value == "everylayer._command:main" and callable(found.load())
