"""The user's cache of machine code."""

from __future__ import annotations

import os
import tempfile
from functools import cache
from pathlib import Path


def cache_folder() -> Path:
    """Where machine code is kept: `TRC_CACHE_DIR`, else the user's cache."""
    base = os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache'
    folder = Path(os.environ.get('TRC_CACHE_DIR') or Path(base) / 'trc')
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:  # a read-only home is normal on robots
        return _private_folder()
    return folder if os.access(folder, os.W_OK) else _private_folder()


@cache
def _private_folder() -> Path:
    """A folder for this process only."""
    return Path(tempfile.mkdtemp(prefix='trc-'))
