"""Checks of the words of a problem whose duration is free, and their part of the contract."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from trc_core.problem.numbers import checked_array, checked_number

if TYPE_CHECKING:
    from trc_core.problem.places import Norm
    from trc_core.problem.system import System

NEEDS_TIME = ('time_weight', 'terminal_cost', 'terminal', 'norms')


def checked_timing(system: System) -> dict[str, Any]:
    """The words of a free duration in the form in which a system keeps them.

    Raises:
        ValueError: at the first that makes no sense, or that is given without `final_time`; the
            message names it.
    """
    weight = checked_number('time_weight', system.time_weight)
    if system.final_time is None:
        given = {word: getattr(system, word) for word in NEEDS_TIME}
        stated = [word for word, value in given.items() if value is not None and np.any(value)]
        if stated:
            raise ValueError(
                f'{stated[0]} needs a free duration: write final_time=(shortest, longest) in '
                'seconds, or leave it out and weigh the last state by Q_f'
            )
        return {'time_weight': weight, 'terminal': (), 'norms': ()}
    if weight < 0.0:
        raise ValueError(f'time_weight is {weight:g}; write a number of at least 0')
    cost = system.terminal_cost
    return {
        'final_time': _limits('final_time', system.final_time),
        'time_weight': weight,
        'terminal_cost': None
        if cost is None
        else checked_array('terminal_cost', cost, (system.n_x,)),
        'terminal': _names('terminal', system.terminal, system.state_names, 'states'),
        'norms': _norms(system),
    }


def _limits(key: str, value: Any) -> tuple[float, float]:
    low, high = checked_array(key, value, (2,)).tolist()
    if not 0.0 < low < high:
        raise ValueError(f'{key} is ({low:g}, {high:g}); write (shortest, longest) in s, above 0')
    return low, high


def _names(key: str, names: Any, known: Sequence[str], what: str) -> tuple[str, ...]:
    if isinstance(names, str) or not isinstance(names, (list, tuple)):
        raise ValueError(f'{key} is {names!r:.60}; write some of the {what} {list(known)}')
    unknown = [name for name in names if name not in known]
    if unknown or len(set(names)) < len(names):
        raise ValueError(
            f'{key} holds {unknown or list(names)}; write each of the {what} {list(known)} once '
            'at most'
        )
    return tuple(names)


def _norms(system: System) -> tuple[Norm, ...]:
    example = "write (Norm(('f_x', 'f_y'), low=1.0, high=5.0),)"
    norms, taken = system.norms, set[str]()
    if not isinstance(norms, (list, tuple)):
        raise ValueError(f'norms are {norms!r:.60}; {example}')
    for norm in norms:
        parts = [getattr(norm, word, None) for word in ('controls', 'low', 'high')]
        if None in parts:
            raise ValueError(f'norms hold {norm!r:.60}; {example}')
        names = _names('the controls of a norm', norm.controls, system.control_names, 'controls')
        if len(names) < 2 or taken.intersection(names):
            raise ValueError(f'norms hold {list(names)}; write two controls or more, each once')
        taken.update(names)
        high = _limits_of_norm(names, norm)[1]
        for name in names:
            i = system.control_names.index(name)
            if system.u_min[i] > -high or system.u_max[i] < high:
                raise ValueError(
                    f"u_min and u_max of '{name}' cut its norm; write -{high:g} and {high:g}, and "
                    'what is narrower as constraints'
                )
    return tuple(
        type(norm)(tuple(norm.controls), float(norm.low), float(norm.high)) for norm in norms
    )


def _limits_of_norm(names: Sequence[str], norm: Norm) -> tuple[float, float]:
    low, high = (checked_number(f'the norm of {list(names)}', v) for v in (norm.low, norm.high))
    if not 0.0 < low < high:
        raise ValueError(
            f'the norm of {list(names)} has the limits {low:g} and {high:g}; write 0 < low < high '
            '(a length that may be 0 is a constraint, like (u[0]**2 + u[1]**2) / high - high)'
        )
    return low, high


def timing_contract(system: System) -> dict[str, Any]:
    """The words of a free duration as JSON values; nothing where the duration is fixed."""
    if system.final_time is None:
        return {}
    cost = system.terminal_cost
    return {
        'final_time': list(system.final_time),
        'time_weight': system.time_weight,
        'terminal_cost': None if cost is None else cost.tolist(),
        'terminal': list(system.terminal),
        'norms': [[list(norm.controls), norm.low, norm.high] for norm in system.norms],
    }
