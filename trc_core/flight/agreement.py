"""Contract check: what a user states about a controller must agree with its checkpoint."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from trc_core.systems import System
from trc_core.systems.registry import parse_settings

STATED = ('state_names', 'control_names', 'dt', 'horizon', 'u_min', 'u_max')
RELATIVE, ABSOLUTE = 1e-6, 1e-9  # numbers that a person wrote down agree when these hold


def require_agreement(system: System, stated: Mapping[str, Any]) -> None:
    """Compares a checkpoint's system with what the parameters `contract.*` state about it.

    Args:
        system: the one of the checkpoint.
        stated: values for the names in `STATED`, and 'parameters' as texts like 'mu=1.0'; what
            is missing, empty or 0 is not checked.

    Raises:
        ValueError: at the first difference; the message names both sides.
    """
    contract = system.contract()
    pairs = [(name, stated.get(name), contract[name]) for name in STATED]
    for name, value in assignments('contract.parameters', stated.get('parameters', ())).items():
        if name not in system.parameters:
            known = sorted(system.parameters)
            raise ValueError(
                f"contract.parameters names '{name}'; {system.name} has {known or 'none'}"
            )
        pairs.append((f'parameters {name}', value, system.parameters[name]))
    for name, ours, theirs in pairs:
        # A physical parameter may well be 0.
        is_stated = bool(ours) or name.startswith('parameters ')
        if is_stated and not _agree(ours, theirs):
            raise ValueError(
                f'contract.{name} is {_shown(ours)} in the parameters '
                f'but {_shown(theirs)} in the checkpoint'
            )


def assignments(parameter: str, texts: Iterable[str]) -> dict[str, float]:
    """Physical parameters from texts like 'mu=1.3'.

    Raises:
        ValueError: if one is not of this form; the message names `parameter`.
    """
    try:
        return parse_settings(texts)
    except ValueError as error:
        raise ValueError(f'{parameter}: {error}') from None


def _agree(ours: Any, theirs: Any) -> bool:
    if isinstance(theirs, list):
        return len(ours) == len(theirs) and all(map(_agree, ours, theirs))
    if isinstance(theirs, str):
        return bool(ours == theirs)
    return math.isclose(ours, theirs, rel_tol=RELATIVE, abs_tol=ABSOLUTE)


def _shown(value: Any) -> str:
    return str(list(value) if not isinstance(value, (int, float, str)) else value)
