"""The program `everylayer`: the engine's own command line."""

from __future__ import annotations

import os
import signal
import sys

from . import _native


def quiet_mesa() -> None:
    """Leaves out a layer of Mesa that complains where there is no desktop (src/cli/headless.rs)."""
    if sys.platform == "linux" and "XDG_RUNTIME_DIR" not in os.environ:
        os.environ.setdefault("NODEVICE_SELECT", "1")


def main() -> None:
    """Does what the words of the call say, and ends with its exit code."""
    quiet_mesa()
    # Ctrl-C ends the program, as it ends any other; the engine has a handler where files are written.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    sys.exit(_native.main(["everylayer", *sys.argv[1:]]))
