"""Verdict on a trial: whether every output was safe, how soon, and the recovery."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from trc_core.flight.limits import BOUND_TOLERANCE
from trc_core.flight.safety import Condition
from trc_core.problem.system import Array
from trc_ros.lab.campaign.contract import Contract
from trc_ros.lab.campaign.disturbances import DISTURBANCES, FALLS_BACK, GOES_ON, Effect
from trc_ros.lab.campaign.fallbacks import Handover, LqrPlan, is_expected
from trc_ros.lab.campaign.trial import Trial
from trc_ros.lab.recording import Diagnosis, Horizon, Samples

RATE_WINDOW = 10  # commands back that a change is measured from; jitter matters less from afar
ACTIVE = 'active'


@dataclass(frozen=True)
class Verdict:
    """Outcome of one fault in one fallback mode; times [s], None where there is none."""

    fault: str
    fallback: str
    safe_after: float | None = None
    """From the beginning of the fault to the first safe command."""
    state_age: float | None = None
    """Age of the last state used when that command was sent; where a fallback had to fly."""
    plan_age: float | None = None
    """Age of the state of the last plan, at the most, when commands were sent during the fault;
    where it had to go on."""
    recovered_after: float | None = None
    """From the end of the fault to the first plan from a newer state."""
    largest_gap: float | None = None
    """Longest silence on `command` while the fault lasted."""
    commands: int = 0
    horizons: int = 0
    not_finite: int = 0
    """Commands and horizons with a NaN or an infinity."""
    out_of_limits: int = 0
    """Commands outside the command limits, horizons outside the bounds of the system."""
    too_fast: int = 0
    """Commands that changed faster than the limit."""
    wrong_fallback: int = 0
    """Commands that are not those of the fallback although no valid state was there."""
    problems: tuple[str, ...] = ()
    """Why the trial failed; empty if it did not."""
    note: str = ''

    @property
    def passed(self) -> bool:
        """Whether the contract was kept."""
        return not self.problems

    def as_json(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def judge(trial: Trial, contract: Contract, lqr: LqrPlan) -> Verdict:
    """The verdict on a trial.

    Args:
        trial: the recording.
        contract: what it is held to.
        lqr: makes the controls (T, n_u) of the fallback 'lqr' from (x, goal).
    """
    effect = DISTURBANCES[trial.fault].effect
    commands, horizons = trial.commands, trial.horizons
    found: dict[str, Any] = {
        'commands': len(commands.times),
        'horizons': len(horizons),
        'not_finite': count_not_finite(commands, horizons),
        'out_of_limits': count_out_of_limits(commands, horizons, contract),
        'too_fast': int(too_fast(commands, trial.spawned, contract).sum()),
        'largest_gap': largest_gap(trial),
        'recovered_after': recovered_after(trial),
        **REACTIONS[effect](trial, contract, lqr),
    }
    verdict = Verdict(trial.fault, trial.fallback, note=trial.note, **found)
    problems = tuple(find_problems(verdict, contract, effect, trial))
    return Verdict(**{**verdict.__dict__, 'problems': problems})


def count_not_finite(commands: Samples, horizons: list[Horizon]) -> int:
    """Messages that hold a NaN or an infinity."""
    bad = (~np.isfinite(commands.values)).any(-1).sum()
    finite = [np.isfinite(h.states).all() and np.isfinite(h.controls).all() for h in horizons]
    return int(bad) + finite.count(False)


def count_out_of_limits(commands: Samples, horizons: list[Horizon], contract: Contract) -> int:
    """Commands outside the command limits and horizons outside the bounds of the system."""
    system = contract.system
    slack = BOUND_TOLERANCE * (system.u_max - system.u_min)
    outside = [
        (h.controls < system.u_min - slack).any() or (h.controls > system.u_max + slack).any()
        for h in horizons
    ]
    low, high = contract.low - slack, contract.high + slack
    u = commands.values
    return int(((u < low) | (u > high)).any(-1).sum()) + outside.count(True)


def too_fast(commands: Samples, spawned: tuple[float, ...], contract: Contract) -> Array:
    """(N,) whether a command is farther from an earlier one than the rate limit lets it.

    A command is decided up to a period before it is sent. A new process knows of no command.
    """
    times, u = commands.times, commands.values
    life = np.searchsorted(spawned, times)
    fast = np.zeros(len(times), dtype=bool)
    slack = BOUND_TOLERANCE * (contract.system.u_max - contract.system.u_min)
    for back in range(1, RATE_WINDOW + 1):
        elapsed = times[back:] - times[:-back] + contract.period
        change = np.abs(u[back:] - u[:-back])
        over = (change > contract.rate * elapsed[:, None] + slack).any(-1)
        fast[back:] |= over & (life[back:] == life[:-back])
    return fast


def largest_gap(trial: Trial) -> float | None:
    """The longest silence on `command` [s] from the beginning of the fault to its end."""
    inside = trial.commands.between(trial.began, trial.ended).times
    return float(np.diff([trial.began, *inside, trial.ended]).max())


def is_well(diagnosis: Diagnosis) -> bool:
    """Whether a controller flies its plans and has nothing to complain of."""
    return diagnosis.state == ACTIVE and diagnosis.level == 0


def recovered_after(trial: Trial) -> float | None:
    """Time from the end of the fault to the first plan from a state measured since [s]."""
    again = [h.sent for h in trial.horizons if h.sent >= trial.ended and h.start >= trial.ended]
    well = [d for d in trial.diagnoses if d.time >= trial.ended and is_well(d)]
    return again[0] - trial.ended if again and well else None


def reaction_of_blinded(trial: Trial, contract: Contract, lqr: LqrPlan) -> dict[str, Any]:
    """No valid state: the fallback must fly from the plan before on."""
    if trial.blind_from < 0:
        return {}
    last = trial.horizons[trial.blind_from]
    handover = Handover(contract, last, trial.goal, lqr)
    commands, u = trial.commands, trial.commands.values
    at = np.flatnonzero((commands.times > last.sent) & (commands.times < trial.ended))
    at = at[at > 0]
    right = [is_expected(handover, commands.times[i - 1 : i + 1], u[i - 1], u[i]) for i in at]
    if contract.fallback == 'none':
        # Silence is safe from when the next command would have been sent.
        first = max(commands.times[commands.times < trial.ended], default=0.0) + contract.period
    else:
        first = next((commands.times[i] for i, ok in zip(at, right, strict=True) if ok), None)
    if first is None:
        return {'wrong_fallback': right.count(False)}
    return {
        'safe_after': float(first - trial.began),
        'state_age': float(first - last.start),
        'wrong_fallback': right.count(False),
    }


def reaction_of_unguided(trial: Trial, contract: Contract, lqr: LqrPlan) -> dict[str, Any]:
    """No confirmed goal: the fallback must fly, that of the LQR from states that are newer."""
    if contract.fallback != 'lqr' or trial.blind_from < 0:
        return reaction_of_blinded(trial, contract, lqr)
    last = trial.horizons[trial.blind_from]
    after = trial.commands.between(last.sent, trial.ended).times
    return {'safe_after': float(after[0] - trial.began)} if len(after) else {}


def reaction_of_flying(trial: Trial, contract: Contract, lqr: LqrPlan) -> dict[str, Any]:
    """Valid states keep coming: the next command must be a safe one, and plans be new."""
    after = trial.commands.times[trial.commands.times >= trial.began]
    found = {'safe_after': float(after[0] - trial.began)} if len(after) else {}
    return {**found, 'plan_age': plan_age(trial)}


def plan_age(trial: Trial) -> float | None:
    """The largest age of the state of the newest plan when a command was sent [s]."""
    times = trial.commands.between(trial.began, trial.ended).times
    newest = np.searchsorted([h.sent for h in trial.horizons], times, side='right') - 1
    starts = np.array([h.start for h in trial.horizons])
    known = newest >= 0
    return float((times - starts[newest])[known].max()) if known.any() else None


def reaction_of_landed(trial: Trial, contract: Contract, lqr: LqrPlan) -> dict[str, Any]:
    """The final command is the safe one, or the end where silence is."""
    if trial.exit is None:
        return {}
    sent = trial.commands.between(trial.began, trial.exit.time).times
    last = trial.exit.time if contract.fallback == 'none' else max(sent, default=None)
    return {} if last is None else {'safe_after': float(last - trial.began)}


def reaction_of_killed(trial: Trial, contract: Contract, lqr: LqrPlan) -> dict[str, Any]:
    """No command comes until the controller has been started again."""
    after = trial.commands.times[trial.commands.times >= max(trial.spawned)]
    return {'safe_after': float(after[0] - trial.began)} if len(after) else {}


REACTIONS = {
    Effect.BLINDED: reaction_of_blinded,
    Effect.UNGUIDED: reaction_of_unguided,
    **dict.fromkeys(GOES_ON, reaction_of_flying),
    Effect.LANDED: reaction_of_landed,
    Effect.KILLED: reaction_of_killed,
}
"""How the first safe command is found."""


def find_problems(verdict: Verdict, contract: Contract, effect: Effect, trial: Trial) -> list[str]:
    """Violations of the contract."""
    found = [
        f'{count} {what}'
        for count, what in (
            (verdict.not_finite, 'not finite'),
            (verdict.out_of_limits, 'out of limits'),
            (verdict.too_fast, 'beyond the rate limit'),
            (verdict.wrong_fallback, f"not the fallback '{contract.fallback}'"),
        )
        if count
    ]
    if verdict.safe_after is None:
        found.append('no safe command')
    found += find_lateness(verdict, contract, effect)
    fallbacks = [d for d in trial.said(trial.began, trial.ended) if d.state == 'fallback']
    if effect in FALLS_BACK and not fallbacks:
        found.append('diagnostics never said fallback')
    # That states are stale for a moment is told by the age of the plan, which has a margin.
    other = {d.values.get('reason', 'why ever') for d in fallbacks} - {Condition.STALE.value}
    if effect in GOES_ON and other:
        found.append(f'it fell back: {", ".join(sorted(other))}')
    found += DISTURBANCES[trial.fault].evidence(trial, contract)
    if verdict.recovered_after is None:
        found.append('no recovery')
    return found


def find_lateness(verdict: Verdict, contract: Contract, effect: Effect) -> list[str]:
    """Problems of reactions after their deadline."""
    promises = (
        ('fallback', effect is Effect.BLINDED, verdict.state_age, contract.deadline),
        ('fallback', effect is Effect.UNGUIDED, verdict.safe_after, contract.goal_deadline),
        ('command', effect in GOES_ON, verdict.safe_after, contract.deadline),
        ('the newest plan', effect in GOES_ON, verdict.plan_age, contract.deadline),
    )
    return [
        f'{what} after {1e3 * seconds:.0f} ms, promised {1e3 * promised:.0f}'
        for what, concerned, seconds, promised in promises
        if concerned and seconds is not None and seconds > promised
    ]
