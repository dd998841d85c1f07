"""What the tests share: one encoder on the CPU, and tiny checkpoints of the fixtures."""

import os
import pathlib

import pytest

os.environ.setdefault("EVERYLAYER_DEVICE", "cpu")

FIXTURES = pathlib.Path(__file__).resolve().parents[2] / "tests" / "fixtures"


@pytest.fixture(scope="session")
def encoder():
    from everylayer import Encoder

    return Encoder("bundled")


@pytest.fixture(scope="session")
def tiny_folder():
    """A folder with a model of a few kilobytes."""
    return FIXTURES / "checkpoints" / "tiny-d16"
