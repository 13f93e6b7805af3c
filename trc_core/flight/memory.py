"""Memory of a pilot: everything that its next decision depends on beside its arguments.

With the memory of one pilot, another one of the same controller goes on to the last bit.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

from trc_core.checkpoint_tensors import DELAYS
from trc_core.flight.adaptation import Estimate
from trc_core.flight.forms import (
    Block,
    Choice,
    Each,
    Fields,
    Form,
    Maybe,
    Row,
    Scalar,
    Sizes,
    Vector,
)
from trc_core.flight.pilot import Pilot
from trc_core.flight.safety import Measurement, SafetyState, TimedPlan
from trc_core.numerics.free_time.timed import HIGH_PRICE, Flight
from trc_core.numerics.ilqr import Memory
from trc_core.numerics.plan import Plan
from trc_core.planner.correction import CorrectionState, Observation
from trc_core.problem.system import System

NUMBER, COUNT, TEXT, TRUTH = Scalar(float), Scalar(int), Scalar(str), Scalar(bool)
SWEEPS = Fields(
    Memory,
    {
        'K': Block(('one', 'T', 'n_u', 'n_x')),
        'lam': Block(('one', 'T + 1', 'n_h')),
        'rho': Block(('one', 'n_h')),
    },
)
CORRECTION = Fields(
    CorrectionState,
    {
        'x': Block(('one', 'n_x')),
        'commands': Block(('one', 'delays', 'n_u')),
        'evidence': Block(('one', 'delays')),
        'disturbance': Block(('one', 'n_u')),
        'mean_disturbance': Block(('one', 'n_u')),
    },
)
OBSERVATION = Fields(
    Observation,
    {
        'state': CORRECTION,
        'displacements': Block(('one', 'delays', 'n_x')),
        'has_history': TRUTH,
    },
)
PLAN = Fields(
    Plan,
    {
        'controls': Block(('T', 'n_u')),
        'states': Block(('T + 1', 'n_x')),
        'cost': NUMBER,
        'source': TEXT,
        'cycles': COUNT,
        'violation': NUMBER,
        'memory': Maybe(SWEEPS),
        'observation': Maybe(OBSERVATION),
    },
)
INTERIOR_POINT = Fields(
    Flight,
    {
        'x': Block(('T + 1', 'n_x')),
        'u': Block(('T', 'n_u')),
        'at': Block(('T', 'n_u')),
        'numbers': Block(('numbers',)),
        'nu': Block(('n_c',)),
        'h': Block(('T + 1', 'n_h')),
        'y': Block(('T + 1', 'n_h')),
        'w': Block(('T + 1', 'n_h')),
        'below': Block(('T', 'n_u')),
        'above': Block(('T', 'n_u')),
    },
)
FREE_PLAN = Fields(
    Plan, {**PLAN.forms, 'times': Block(('T + 1',)), 'memory': Maybe(INTERIOR_POINT)}
)
"""A plan whose duration is free."""
TIMED_PLAN = Fields(TimedPlan, {'plan': PLAN, 'origin': NUMBER})
FREE_TIMED_PLAN = Fields(TimedPlan, {'plan': FREE_PLAN, 'origin': NUMBER})
MEASUREMENT = Fields(Measurement, {'x': Vector('n_x'), 'time': NUMBER})
ESTIMATE = Fields(
    Estimate,
    {
        'deviation': Vector('n_p'),
        'covariance': Block(('n_p', 'n_p')),
        'model_error': NUMBER,
        'error': NUMBER,
        'is_adopted': TRUTH,
        'ignored': NUMBER,
    },
)
PLACES: dict[str, tuple[str, str, Form]] = {
    'verdict': ('monitor', 'state', Choice(SafetyState)),
    'last_control': ('monitor', 'last_control', Maybe(Vector('n_u'))),
    'last_time': ('monitor', 'last_time', NUMBER),
    'rejections': ('monitor', 'rejections', COUNT),
    'accepted': ('monitor', 'accepted', Maybe(TIMED_PLAN)),
    'lqr': ('monitor', '_lqr', Maybe(TIMED_PLAN)),
    'commands': ('_pending', '_commands', Each(Row((NUMBER, Vector('n_u'))))),
    'estimate': ('', '_estimate', Maybe(ESTIMATE)),
    'last': ('', '_last', Maybe(MEASUREMENT)),
    'angles': ('_turns', '_last', Maybe(MEASUREMENT)),
    'held': ('_anchor', 'state', Maybe(Vector('n_x'))),
    'is_held': ('_anchor', '_decided', TRUTH),
}
"""Part of the pilot, attribute and form of everything that is remembered."""
FREE_PLACES: dict[str, tuple[str, str, Form]] = {
    **PLACES,
    'accepted': ('monitor', 'accepted', Maybe(FREE_TIMED_PLAN)),
    'begun': ('', '_begun', Maybe(MEASUREMENT)),
    'reachable': ('', '_reachable', Maybe(Vector('n_x'))),
}
"""The same where the duration of plans is free."""


def sizes_of(system: System) -> Sizes:
    """The lengths of the axes of a system's arrays."""
    return {
        'one': 1,
        'n_x': system.n_x,
        'n_u': system.n_u,
        'n_p': len(system.parameters),
        'n_h': len(system.task.constraints),
        'n_c': len(system.terminal),
        'numbers': HIGH_PRICE + 1,
        'T': system.horizon,
        'T + 1': system.horizon + 1,
        'delays': DELAYS,
    }


def remembered(pilot: Pilot) -> dict[str, Any]:
    """The memory of a pilot, as JSON; call it between two cycles."""
    return {
        name: form.written(getattr(_part(pilot, part), attribute))
        for name, (part, attribute, form) in _places_of(pilot).items()
    }


def recall(pilot: Pilot, memory: Mapping[str, Any]) -> None:
    """Replaces what a pilot remembers.

    Raises:
        ValueError: if the memory is not one of a pilot of such a system; nothing is changed then.
    """
    sizes, found, places = sizes_of(pilot.controller.system), {}, _places_of(pilot)
    for name, (_, _, form) in places.items():
        if name not in memory:
            raise ValueError(f"the memory of the pilot lacks '{name}'")
        try:
            found[name] = form.read(memory[name], sizes)
        except ValueError as error:
            raise ValueError(f'the memory of the pilot: {name}: {error}') from None
    if (found['estimate'] is None) is not (pilot.parameters is None):
        raise ValueError('the memory of the pilot: only one of both learns in flight')
    found['commands'] = deque(found['commands'])
    for name, (part, attribute, _) in places.items():
        setattr(_part(pilot, part), attribute, found[name])


def _places_of(pilot: Pilot) -> dict[str, tuple[str, str, Form]]:
    return PLACES if pilot.controller.system.final_time is None else FREE_PLACES


def _part(pilot: Pilot, part: str) -> Any:
    return getattr(pilot, part) if part else pilot
