"""The record of a system that travels with checkpoints and datasets, and the way back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from trc_core.problem.system import System
from trc_core.systems.registry import get_system

NUMBERS = ('u_min', 'u_max', 'u_trim', 'Q', 'R', 'Q_f', 'x0_box', 'goal_box')
NAMES = ('state_names', 'state_units', 'control_names', 'control_units')


def equations(system: System) -> list[str]:
    """The equations of motion in a word each, one per state: what a contract leaves out.

    Raises:
        ValueError: if the dynamics fail.
    """
    from trc_core.compile.codegen import symbolic_dynamics

    return [str(expression) for expression in symbolic_dynamics(system)]


def system_from_contract(contract: Mapping[str, Any], system: System | None = None) -> System:
    """The system that a contract describes: our dynamics, the contract's numbers.

    Args:
        contract: what `System.contract` gave.
        system: the plant whose dynamics to use; the one of the contract's name by default.

    Raises:
        ValueError: if the system is unknown here, or is not the contract's; both are named.
    """
    if system is None:
        system = get_system(contract['name'])
    elif system.name != contract['name']:
        raise ValueError(f"made for the system '{contract['name']}', not for '{system.name}'")
    for key in NAMES:
        ours, theirs = list(getattr(system, key)), list(contract[key])
        if ours != theirs:
            raise ValueError(f"{key} of '{system.name}' are {ours} here but {theirs} in the file")
    numbers: dict[str, Any] = {key: np.array(contract[key]) for key in NUMBERS}
    numbers.update(dt=float(contract['dt']), horizon=int(contract['horizon']))
    return replace(system.with_parameters(**contract['parameters']), **numbers)
