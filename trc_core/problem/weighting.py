"""Diagonal entries of the weights of J by name, like 'Q[0]', beside physical parameters."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from trc_core.problem.system import System

WEIGHTS = ('Q', 'R', 'Q_f')
ENTRY = re.compile(r'(Q|R|Q_f)\[(\d+)\]')
Range = tuple[float, float]


def is_entry(name: str) -> bool:
    """Whether a name is that of a diagonal entry, and not of a parameter."""
    return ENTRY.fullmatch(name) is not None


def with_entries(system: System, ranges: Mapping[str, Range]) -> dict[str, Range]:
    """Ranges in which every weight, like 'Q', stands for its diagonal entries.

    The range of a weight is that of a factor on each of its entries; that of an entry holds its
    values. Entries without a weight are left out: a factor changes nothing.

    Raises:
        ValueError: if such a range is not above 0.
    """
    found: dict[str, Range] = {}
    for name, (low, high) in ranges.items():
        if name not in WEIGHTS:
            found[name] = low, high
            continue
        if not low > 0.0:
            raise ValueError(
                f'the range of {name} is one of factors, above 0; got [{low}, {high}]'
            )
        for i, own in enumerate(np.diag(getattr(system, name)).tolist()):
            if own > 0.0:
                found[f'{name}[{i}]'] = low * own, high * own
    return found


def value_of(system: System, name: str) -> float:
    """A parameter, or a diagonal entry of a weight.

    Raises:
        KeyError: if there is none of that name.
    """
    entry = ENTRY.fullmatch(name)
    if entry is None:
        return float(system.parameters[name])
    weight, i = getattr(system, entry[1]), int(entry[2])
    if i >= len(weight):
        raise KeyError(name)
    return float(weight[i, i])


def with_values(system: System, values: Mapping[str, float]) -> System:
    """The same plant with other parameters, and other diagonal entries of its weights.

    Raises:
        ValueError: if there is no such parameter.
    """
    parameters = {name: value for name, value in values.items() if not is_entry(name)}
    weights = {name: np.array(getattr(system, name)) for name in WEIGHTS}
    for name, value in values.items():
        if entry := ENTRY.fullmatch(name):
            i = int(entry[2])
            weights[entry[1]][i, i] = value
    plant = system.with_parameters(**parameters) if parameters else system
    if len(parameters) == len(values):
        return plant
    return replace(plant, Q=weights['Q'], R=weights['R'], Q_f=weights['Q_f'])


def scaled(value: float, name: str, limits: Range) -> float:
    """A value from -1 to 1 within its range; a weight on a logarithmic scale."""
    low, high = limits
    if is_entry(name):
        value, low, high = (float(np.log(max(v, 1e-300))) for v in (value, low, high))
    return (2 * value - low - high) / (high - low)


def drawn(name: str, limits: Range, rng: np.random.Generator) -> float:
    """A value from its range, uniform; a weight is log-uniform."""
    low, high = limits
    if is_entry(name):
        return float(np.exp(rng.uniform(np.log(low), np.log(high))))
    return float(rng.uniform(low, high))


def entry_warnings(system: System, ranges: Mapping[str, Range]) -> tuple[str, ...]:
    """Warnings about weights outside the ranges that a network was trained for."""
    found = []
    for name, (low, high) in ranges.items():
        if is_entry(name) and not low * (1 - 1e-9) <= value_of(system, name) <= high * (1 + 1e-9):
            found.append(
                f"weight '{name}' is {value_of(system, name):.4g}, outside the trained range "
                f'{low:g} to {high:g}'
            )
    return tuple(found)
