"""The command line tool `aft`."""

import os
import signal
import sys
from typing import NoReturn

from . import _library


def main() -> NoReturn:
    """Becomes the tool, with its signals and its exit status."""
    tool = _library.FOLDER / "bin" / "aft"
    for ignored_by_python in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(ignored_by_python, signal.SIG_DFL)
    try:
        os.execv(tool, [sys.argv[0], *sys.argv[1:]])
    except OSError as error:
        sys.exit(f"aft: {tool}: {error.strerror}")
