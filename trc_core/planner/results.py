"""Results of a backend, as plans."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from trc_core.numerics.plan import Plan
from trc_core.planner.kernels import Found


def plans_of(found: Found, names: Sequence[str]) -> Plan:
    """The plans of B problems: every field has a leading axis B.

    Args:
        found: what the backend has filled.
        names: of the candidates, in the order of `found.starts`.
    """
    refined = found.starts[np.arange(len(found.J)), found.start] > found.J
    rows: Any = {
        'cost': found.J,
        'source': np.where(refined, 'refined', np.array(names)[found.start]),
        'converged': np.isfinite(found.J),
        'cycles': found.cycles,
        'candidates': dict(zip(names, found.starts.T, strict=True)),
    }
    return Plan(found.u, found.x, **rows)
