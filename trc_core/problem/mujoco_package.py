"""The package `mujoco`, which is installed where somebody wants it."""

from __future__ import annotations

from typing import Any


def import_mujoco(what: str) -> Any:
    """The module `mujoco`.

    Args:
        what: wants it, as the message says.

    Raises:
        ValueError: if it is not installed; the message says what to install.
    """
    try:
        import mujoco
    except ModuleNotFoundError:
        raise ValueError(f"{what} needs MuJoCo: pip install 'trc[mujoco]'") from None
    return mujoco
