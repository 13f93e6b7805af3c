"""Evidence in a trial, beyond its outputs: what diagnostics and plans must show of a fault."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from trc_core.flight.safety import Condition
from trc_core.planner.turns import turning_places
from trc_core.problem.system import Array
from trc_ros.lab.campaign.contract import INJECTOR, Contract

if TYPE_CHECKING:
    from trc_ros.lab.campaign.trial import Trial
    from trc_ros.lab.recording import Diagnosis

ERROR = 2  # level of a status
DIGITS = 1e-4  # share of a number by which diagnostics round it
SHORTLY = 0.2  # [s] around a fault

Evidence = Callable[['Trial', Contract], list[str]]  # the problems found


def none_needed(trial: Trial, contract: Contract) -> list[str]:
    """The outputs say it all."""
    return []


def refused(reason: str) -> Evidence:
    """The goal must be counted as refused for a reason, and the one before stay."""
    key = f'goal_rejected_{reason}'

    def find(trial: Trial, contract: Contract) -> list[str]:
        before, during = trial.said(0.0, trial.began), trial.said(trial.began, trial.ended)
        counts = [int(d.values.get(key, 0)) for d in (*before[-1:], *during)]
        found = [] if counts and counts[-1] > counts[0] else [f'{key} was not counted']
        names = contract.system.state_names
        strayed = [d for d in during if not is_asked(d, 'goal', names, trial.goal)]
        return found + ([f'another goal: {aim_of(strayed[-1], "goal", names)}'] if strayed else [])

    return find


def rival_named(trial: Trial, contract: Contract) -> list[str]:
    """Diagnostics must be an error that names the other publisher of commands."""
    named = [
        d
        for d in trial.said(trial.began, trial.ended)
        if d.level == ERROR and INJECTOR in d.values.get('other_publishers', '')
    ]
    return [] if named else ['diagnostics never named the other publisher in an error']


def constraint_named(trial: Trial, contract: Contract) -> list[str]:
    """Diagnostics must say that a constraint is violated, and which one."""
    wanted = [f"constraint '{name}'" for name in contract.system.task.constraints.names]
    named = [
        d
        for d in trial.said(trial.began, trial.ended)
        if d.state == 'degraded' and any(w in d.values.get('reason', '') for w in wanted)
    ]
    return [] if named else ['diagnostics were never degraded by a constraint with its name']


def goal_stale(trial: Trial, contract: Contract) -> list[str]:
    """The fallback must have flown for the right reason."""
    said = trial.said(trial.began, trial.ended)
    stale = [d for d in said if d.values.get('reason') == Condition.GOAL_STALE.value]
    found = [] if stale else ['diagnostics never said that the goal is stale']
    return followed(trial) + found


def rested(trial: Trial, contract: Contract) -> list[str]:
    """The last point of the last reference must be what is asked for at the end."""
    last = trial.said(trial.began, trial.ended)[-1:]
    names = contract.system.state_names[:1]
    if last and is_asked(last[0], 'reference', names, trial.goal[:1]):
        return followed(trial)
    shown = aim_of(last[0], 'reference', names) if last else 'nothing'
    return [*followed(trial), f'the aim is {shown}, the reference ended at {trial.goal[0]:.6g}']


def followed(trial: Trial) -> list[str]:
    """A reference must have been followed before the fault."""
    last = trial.said(0.0, trial.began)[-1:]
    if last and last[0].state != 'fallback' and last[0].values['follows'] == 'reference':
        return []
    return ['no reference was followed before it stopped']


def landed(trial: Trial, contract: Contract) -> list[str]:
    """The process must have ended by itself, after the final command."""
    if trial.exit is None:
        return ['it did not end']
    found = [f'it ended with code {trial.exit.code}'] if trial.exit.code else []
    expected = contract.final_command
    sent = trial.commands.between(trial.began, trial.exit.time).values
    if expected is not None and not (len(sent) and np.allclose(sent[-1], expected)):
        last = sent[-1].tolist() if len(sent) else 'none'
        found.append(f'the last command was {last}, expected {expected.tolist()}')
    return found


def turns_counted(trial: Trial, contract: Contract) -> list[str]:
    """Plans must begin where the plant really is, although its angles jump by a turn."""
    places = list(turning_places(contract.system))
    around = trial.states.between(trial.began - SHORTLY, trial.ended + SHORTLY)
    found = [] if jumps(around.values[:, places]) else ['no angle jumped: nothing was tested']
    plans = [h for h in trial.horizons if h.sent >= trial.began - SHORTLY]
    pairs = [
        np.array([a.states[0, places], b.states[0, places]])
        for a, b in itertools.pairwise(plans)
        if b.start - a.start <= contract.state_timeout  # after a gap, turns are counted anew
    ]
    count = sum(jumps(pair) for pair in pairs)
    return found + ([f'{count} plans begin a turn away from the one before'] if count else [])


def jumps(angles: Array) -> int:
    """How often one of the angles (N, n) changes by more than half a turn."""
    return int((np.abs(np.diff(angles, axis=0)) > math.pi).any(-1).sum())


def is_asked(diagnosis: Diagnosis, what: str, names: Sequence[str], goal: Array) -> bool:
    """Whether diagnostics name these states (n,) as the 'goal' or the 'reference'."""
    aim = aim_of(diagnosis, what, names)
    return len(aim) == len(goal) and np.allclose(aim, goal, rtol=DIGITS, atol=DIGITS)


def aim_of(diagnosis: Diagnosis, what: str, names: Sequence[str]) -> list[float]:
    """The states of these names that diagnostics call the 'goal' or the 'reference'."""
    keys = [f'{what}_{name}' for name in names]
    return [float(diagnosis.values[key]) for key in keys if key in diagnosis.values]
