"""Parameters by name: rows of them with some changed, and what is none refused."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

if TYPE_CHECKING:
    from trc_core.problem.system import Array, System


def parameter_rows(
    system: System, changed: Mapping[str, ArrayLike], rows: int | None, known: Array | None
) -> Array:
    """The parameters (n_p,), or (rows, n_p), as `System.parameter_rows`."""
    if not changed.keys() <= system.parameters.keys():
        require_parameters(system, changed)
    known = system.p if known is None else known
    p = known.copy() if rows is None else np.tile(known, (rows, 1))
    places = system.places
    try:
        for name, value in changed.items():
            p[..., places[name]] = value
    except (TypeError, ValueError):
        p[..., places[name]] = np.nan
    if not np.isfinite(p).all():
        wrong = [name for name in changed if not np.isfinite(p[..., places[name]]).all()]
        expected = 'a finite number' + ('' if rows is None else f', or {rows} of them')
        given = np.asarray(changed[wrong[0]], dtype=object).tolist()
        raise ValueError(f"parameter '{wrong[0]}' is {given!r:.60}; write {expected}")
    return p


def require_parameters(system: System, names: Iterable[str]) -> None:
    """Refuses names that are none of the parameters.

    Raises:
        ValueError: if there is one; the message lists those that exist.
    """
    unknown = sorted(set(names) - set(system.parameters))
    if unknown:
        raise ValueError(
            f"system '{system.name}' has no parameter {unknown}; "
            f'choose from {sorted(system.parameters)}'
        )


def moved(system: System, parameters: Mapping[str, float], seconds: float) -> dict[str, float]:
    """The parameters of obstacles some seconds later."""
    later = dict(parameters)
    for obstacle in system.obstacles:
        pairs = (
            (obstacle.x, obstacle.vx),
            (obstacle.y, obstacle.vy),
            (obstacle.z, obstacle.vz),
        )
        for place, speed in pairs:
            if place in later and speed is not None:
                later[place] += seconds * later[speed]
    return later
