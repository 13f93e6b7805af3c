"""The page about a campaign."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from trc_core import get_system, provenance
from trc_ros.lab.campaign.contract import GOAL_TIMEOUT
from trc_ros.lab.campaign.disturbances import DISTURBANCES, GOES_ON, Effect
from trc_ros.lab.campaign.store import Store
from trc_ros.lab.campaign.verdict import Verdict

COUNTS = {
    'not_finite': 'not finite (NaN, infinity)',
    'out_of_limits': 'out of limits',
    'too_fast': 'beyond the rate limit',
    'wrong_fallback': 'not the fallback that was asked for',
}
MEANING = """\
What the figures mean:

- A fault **begins** just before it is asked for (a service call, a signal, the first wrong
  message), and **ends** just before its end is asked for; that of a killed plant ends with the
  first state of the new one, that of a killed controller as the new process starts. Times are
  those at which messages were sent, as DDS reports them.
- A command is **safe** if it is finite, inside the command limits and no faster than their rate,
  and, where no valid state arrives, what the fallback commands: for `tail` the control of the
  last published plan at its age, for `lqr` that of the LQR from the last state, for `hold` the
  command before, for `zero` zero inside the limits, or a step on the way there at the rate limit.
  For `none` it is silence, which is safe from when the next command would have been sent. Where
  controls and joints do not map one to one (`quadrotor_2d`), horizons hold no controls, and
  `tail` is held to limits and rate alone.
- **Promised**: {deadline:.0f} ms after the measurement of the last state used, at the latest:
  `state_timeout` ({state_timeout:.0f}), a period ({period:.0f}), and {margin:.0f} that the
  scheduler of the machine may add. Where valid states keep arriving: the next command, in the
  same time, from a plan whose state is no older, and no fallback. Where references stop: the
  fallback, {goal_deadline:.0f} ms after the last one at the latest (`goal_timeout`
  {goal_timeout:.0f}); the LQR then starts from every new state, and is held to limits and rate
  alone.
- A **refused** goal must be counted in `/diagnostics` by its reason, and the one before must stay.
  A **second controller** must be an error in `safety` that names its node, and an **obstacle** a
  warning with the name of the constraint. Only commands of the controller itself are judged: the
  others are labelled.
- A controller that gets **SIGHUP** must end with exit code 0, after the final command, which it
  approaches at the rate limit; the time to the first safe command is that to the final one.
- **Recovery** is the first plan sent from a state measured after the fault has ended, with
  diagnostics that say `active` and are neither a warning nor an error.
- Horizons must be finite and inside the bounds of the system; the command limits concern commands
  alone. The rate counts from command to command of one process, over up to ten commands, where
  each may have been decided up to a period before it was sent.
- A controller that is killed commands nothing until it is started again, and the plant holds the
  last command: drives need a watchdog of their own.
"""


def page(store: Store, picture: str) -> str:
    """Page of the campaign in Markdown; `picture` is the file with the overview."""
    parts = [
        '# Faults\n',
        provenance.table({**store.origin, 'seed': store.settings['seed']}) + '\n',
        summary(store),
        f'![Times of every trial]({picture})\n',
        table(store, 'Time from the fault to the first safe command [ms]', lambda v: v.safe_after),
        table(
            store, 'Time from the end of the fault to recovery [ms]', lambda v: v.recovered_after
        ),
        faults(store),
        notes(store),
        MEANING.format(**contract_times(store)),
    ]
    return '\n'.join(part for part in parts if part)


def contract_times(store: Store) -> dict[str, float]:
    """The times of the contract [ms]."""
    times = {
        'state_timeout': 1e3 * store.settings['state_timeout'],
        'period': 1e3 / store.settings['frequency'],
        'margin': 1e3 * store.settings['margin'],
    }
    goal_timeout = 1e3 * GOAL_TIMEOUT
    goal_deadline = goal_timeout + times['period'] + times['margin']
    later = {'goal_timeout': goal_timeout, 'goal_deadline': goal_deadline}
    return {**times, 'deadline': sum(times.values()), **later}


def summary(store: Store) -> str:
    """Counts over all trials, and every problem."""
    settings, verdicts = store.settings, list(store.verdicts.values())
    lines = [
        f'{settings["system"]} at {settings["frequency"]:g} Hz, faults of '
        f'{settings["duration"]:g} s: **{sum(v.passed for v in verdicts)} of {len(verdicts)} '
        f'passed**, in {sum(v.commands for v in verdicts)} commands and '
        f'{sum(v.horizons for v in verdicts)} horizons.\n',
        '| outputs | |',
        '|---|---|',
        *(f'| {text} | {sum(getattr(v, k) for v in verdicts)} |' for k, text in COUNTS.items()),
        f'| trials without recovery | {sum(v.recovered_after is None for v in verdicts)} |',
        *(f'| {text} | {value} |' for text, value in extremes(store).items()),
        '',
        *(f'- {problem}' for problem in store.problems),
        '' if store.problems else None,
    ]
    return '\n'.join(line for line in lines if line is not None)


def extremes(store: Store) -> dict[str, str]:
    """The worst of all trials, by what it is."""
    verdicts = list(store.verdicts.values())
    return {
        'oldest state used when the fallback took over': largest(v.state_age for v in verdicts),
        'oldest state of the newest plan while valid states arrived': largest(
            v.plan_age for v in verdicts
        ),
        'longest silence on `command` while valid states arrived': longest_silence(verdicts),
        'sessions that ended with SIGINT and exit code 0': ended_well(store),
    }


def largest(times: Iterable[float | None]) -> str:
    """The largest of the times [s] that there are."""
    known = [time for time in times if time is not None]
    return f'{1e3 * max(known):.0f} ms' if known else '-'


def longest_silence(verdicts: list[Verdict]) -> str:
    """The largest gap between commands in faults that leave the states as they are."""
    flying = [v for v in verdicts if DISTURBANCES[v.fault].effect in GOES_ON]
    return largest(v.largest_gap for v in flying)


def ended_well(store: Store) -> str:
    """Share of the sessions that ended with exit code 0."""
    return f'{sum(not found for found in store.landings.values())} of {len(store.landings)}'


def table(store: Store, title: str, value: Callable[[Verdict], float | None]) -> str:
    """A row for each fault, a column for each fallback."""
    fallbacks = list(dict.fromkeys(fallback for fallback, _ in store.verdicts))
    names = [name for name in DISTURBANCES if any(fault == name for _, fault in store.verdicts)]
    lines = [
        f'| {title} | {" | ".join(fallbacks)} |',
        f'|---|{"--:|" * len(fallbacks)}',
        *(
            f'| `{name}` | {" | ".join(cell(store, (f, name), value) for f in fallbacks)} |'
            for name in names
        ),
    ]
    return '\n'.join(lines) + '\n'


def cell(store: Store, key: tuple[str, str], value: Callable[[Verdict], float | None]) -> str:
    """A figure, marked where the trial failed."""
    verdict = store.verdicts.get(key)
    if verdict is None:
        return ''
    seconds = value(verdict)
    text = 'never' if seconds is None else f'{1e3 * seconds:.0f}'
    return text if verdict.passed else f'{text} **failed**'


MUST = {
    Effect.BLINDED: 'the fallback flies',
    Effect.FLYING: 'it goes on',
    Effect.REFUSED: 'the goal is refused and counted, and it goes on to the one before',
    Effect.REPORTED: 'it goes on, and diagnostics name the reason',
    Effect.UNGUIDED: f'after {1e3 * GOAL_TIMEOUT:.0f} ms the fallback flies: the goal is stale',
    Effect.LANDED: 'it lands, ends with exit code 0, and a new process takes over',
    Effect.KILLED: 'a new process takes over',
}


def faults(store: Store) -> str:
    """Table of the faults that were flown and the reactions expected, and why others were not."""
    flown = {fault for _, fault in store.verdicts}
    rows = [
        f'| `{n}` | {d.summary} | {MUST[d.effect]} |'
        for n, d in DISTURBANCES.items()
        if n in flown
    ]
    table = ['| fault | what it is | what must happen |', '|---|---|---|', *rows]
    return '\n'.join([*table, '', *not_flown(store)]) + '\n'


def not_flown(store: Store) -> list[str]:
    """A line for each fault that the system cannot be flown through."""
    system = get_system(store.settings['system'])
    return [
        f'`{name}` is not flown here: it needs a system with {d.needs.what}.\n'
        for name, d in DISTURBANCES.items()
        if not d.needs.is_met(system)
    ]


def notes(store: Store) -> str:
    """Rates at which the faults that publish messages really did."""
    found: dict[str, list[str]] = {}
    for verdict in store.verdicts.values():
        if verdict.note:
            found.setdefault(verdict.fault, []).append(verdict.note)
    return ''.join(f'`{name}`: {", ".join(values)}.\n' for name, values in found.items())
