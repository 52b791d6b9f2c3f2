"""The command line tool `aft`."""

import os
import sys

from . import _library


def main():
    """Becomes the tool, with its signals and its exit status."""
    tool = _library.folder() / "bin" / "aft"
    try:
        os.execv(tool, [sys.argv[0], *sys.argv[1:]])
    except OSError as error:
        sys.exit(f"aft: {tool}: {error.strerror}")
