"""The figures of the control loop as a Markdown page."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from trc_core import provenance
from trc_ros.lab.loop_benchmark.bars import (
    Figures,
    bars,
    growth_mb,
    latency_us,
    rate_error_percent,
)

NOTES = """\
- *rate*, *jitter* (of the period), *plan* and *deadline misses*: the controller's own, from
  `/diagnostics`, since the loop was started anew for the measurement.
- *state*: from sending until DDS has it in a process beside the controller, whose loop takes the
  newest one from there itself. *command*: from sending to arrival in that Python process, waking
  it included. All on one clock.
- *without wait*: the sum of state, plan and command, percentile by percentile. *with wait*: from
  the sending of a state to the arrival of the command that answers it, matched by its stamp. Up to
  a period of that is waiting for the next cycle, but for cases that end in `:state`, where the
  arrival of a state begins one (`cycle_on`). In all others states come 0.3 % more slowly than
  cycles, at every moment of one in turn: also where plant, loop and whoever times them want the
  CPUs at once.
- *unexplained*: deadline misses in seconds in which the kernel let the process wait for no longer
  than usual and the machine did not stand still; *held up*: that waiting of all threads together,
  the time that the host took (`/proc/PID/task/*/schedstat`, `/proc/stat`), and standing still.
- *standing still*: the machine ran nothing, for what a thread on each CPU, above every other
  thread, overslept by more than 1 ms (measured under SCHED_FIFO only).
- *CPU*: user and system time of the whole process. *interpreter*: share of a cycle in which a plan
  keeps all other threads from running Python, measured by a thread that reads a clock again and
  again; the median of {plans} plans or more.
- *goals*: sum |x - goal| <= 0.1 at the end of 1.6 horizons."""


def report(results: Mapping[str, Any], pictures: Iterable[str] = ()) -> str:
    """The page: where it was measured, the bars, every figure beside load and scheduling."""
    cases = results['cases']
    blocks = [
        '# Control loop',
        f'`{results["command"]}`',
        provenance.table(results['environment']),
        *(f'![{name}]({name})' for name in pictures),
    ]
    if cases:
        plans = min(figures['interpreter']['plans'] for figures in cases.values())
        blocks += ['## Bars', _bars(cases), '## Figures', _figures(cases)]
        blocks += ['p50 / p99, in microseconds where nothing else is said.']
        blocks += [NOTES.format(plans=plans)]
    return '\n\n'.join(blocks) + '\n'


def _bars(cases: Mapping[str, Figures]) -> str:
    return '\n'.join(['| | bar | measured | |', '|---|---|---|---|', *map(str, bars(cases))])


def _figures(cases: Mapping[str, Figures]) -> str:
    heads = ['', *cases]
    rows = [heads, ['---'] * len(heads)]
    for name, show in ROWS.items():
        rows.append([name, *(show(figures) for figures in cases.values())])
    return '\n'.join(f'| {" | ".join(row)} |' for row in rows)


def _pair(values: Mapping[str, float], key: str = '{}') -> str:
    if key.format('p50') not in values:
        return ''
    return ' / '.join(f'{values[key.format(p)]:,.0f}' for p in ('p50', 'p99'))


def _misses(figures: Figures) -> str:
    return f'{figures["loop"]["deadline_misses"]:.0f} ({figures["unexplained_misses"]})'


def _memory(figures: Figures) -> str:
    readings = figures['memory_mb']
    return f'{readings[0][1]:.1f} to {readings[-1][1]:.1f} ({growth_mb(figures):+.1f})'


def _goals(figures: Figures) -> str:
    tasks = figures['tasks']
    return f'{tasks["set"] - tasks["missed"]} of {tasks["set"]}'


ROWS: dict[str, Callable[[Figures], str]] = {
    'load before; after': lambda f: f'{f["load before"]}; {f["load after"]}',
    'scheduling': lambda f: f['scheduling'],
    'seconds': lambda f: f'{f["seconds"]:.0f}',
    'rate, Hz': lambda f: f'{f["loop"]["achieved_rate_hz"]:.3f}',
    'its error, %': lambda f: f'{rate_error_percent(f):.4f}',
    'jitter': lambda f: _pair(f['loop'], 'period_jitter_{}_us'),
    'deadline misses (unexplained)': _misses,
    'held up per second, ms': lambda f: _pair(f['held_up_ms']),
    'standing still, ms': lambda f: f'{f["stalled_ms"]:.0f}',
    'plan': lambda f: _pair(f['loop'], 'plan_time_{}_us'),
    'state': lambda f: _pair(f['state_us']),
    'command': lambda f: _pair(f['command_us']),
    'without wait': lambda f: _pair(latency_us(f)),
    'with wait': lambda f: _pair(f['reaction_us']),
    'CPU, % of a core': lambda f: f'{100.0 * f["cpu_share"]:.1f}',
    'interpreter, % of a cycle': lambda f: f'{100.0 * f["interpreter"]["held_share"]:.2f}',
    'memory, MB': _memory,
    'goals reached': _goals,
}
