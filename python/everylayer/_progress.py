"""A progress bar of tqdm over the texts of a call."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from ._errors import optional


@contextmanager
def progress(shown: bool | None, texts: int | None) -> Iterator[Callable[[int], object] | None]:
    """A bar while the block runs, to be told how many texts are done; None where there is none.

    With ``shown=None`` there is one where tqdm is installed and standard error is a terminal.
    """
    tqdm = _tqdm(shown)
    if tqdm is None:
        yield None
        return
    with tqdm(total=texts, unit="text", delay=0.5 if shown is None else 0) as bar:
        yield lambda done: bar.update(done - bar.n)


def _tqdm(shown: bool | None) -> Any:
    if shown:
        return optional("tqdm.auto", "progress", "show_progress_bar").tqdm
    if shown is None and sys.stderr is not None and sys.stderr.isatty():
        try:
            import tqdm.auto
        except ImportError:
            return None
        return tqdm.auto.tqdm
    return None
