"""Bars of the control loop: the requirements of the project, and what was measured."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from trc_core.lab.benchmark.bars import Bar

Figures = Mapping[str, Any]
RATE_PERCENT = 0.1
JITTER_US = {'p50': 20.0, 'p99': 300.0}  # of a loop under SCHED_FIFO
CPU_PERCENT, CPU_RATE = 15.0, 100.0  # of a core, at that many cycles per second
LATENCY_US = {'p50': 1e3, 'p99': 2e3}
GROWTH_MB, LONG = 2.0, 600.0  # either way, in that many seconds
FIFO = 'SCHED_FIFO'


def bars(cases: Mapping[str, Figures]) -> list[Bar]:
    """Every requirement that the figures of some cases can judge."""
    return [
        bar for name, figures in cases.items() for judge in JUDGES for bar in judge(name, figures)
    ]


def latency_us(figures: Figures) -> dict[str, float]:
    """Latency from a state to its command without the wait for a cycle.

    It is the sum of three percentiles, of state, plan and command; for the p99 that is more than
    the percentile of the sum.
    """
    if not (figures['state_us']['count'] and figures['command_us']['count']):
        return {}
    return {
        percentile: figures['state_us'][percentile]
        + figures['loop'][f'plan_time_{percentile}_us']
        + figures['command_us'][percentile]
        for percentile in LATENCY_US
    }


def growth_mb(figures: Figures) -> float:
    """Resident memory at the end less that at the beginning [MB]."""
    readings = figures['memory_mb']
    return readings[-1][1] - readings[0][1]


def rate_error_percent(figures: Figures) -> float:
    """Error of the rate [%]."""
    loop = figures['loop']
    return 100.0 * abs(loop['achieved_rate_hz'] / loop['target_rate_hz'] - 1.0)


def _rate(name: str, figures: Figures) -> Iterator[Bar]:
    if figures['cycle_on'] == 'clock':
        yield Bar(f'{name}: error of the rate', RATE_PERCENT, rate_error_percent(figures), '%')


def _jitter(name: str, figures: Figures) -> Iterator[Bar]:
    if FIFO in figures['scheduling'] and figures['cycle_on'] == 'clock':
        for percentile, limit in JITTER_US.items():
            jitter = figures['loop'][f'period_jitter_{percentile}_us']
            yield Bar(f'{name}: jitter of the period, {percentile}, {FIFO}', limit, jitter, 'us')


def _cpu(name: str, figures: Figures) -> Iterator[Bar]:
    if figures['loop']['target_rate_hz'] == CPU_RATE:
        yield Bar(f'{name}: of a core', CPU_PERCENT, 100.0 * figures['cpu_share'], '%')


def _latency(name: str, figures: Figures) -> Iterator[Bar]:
    if figures['cycle_on'] == 'state':
        for percentile, limit in LATENCY_US.items():
            reaction = figures['reaction_us'].get(percentile, float('inf'))
            yield Bar(f'{name}: state to command, {percentile}', limit, reaction, 'us')
        return
    for percentile, latency in latency_us(figures).items():
        what = f'{name}: state to command without the wait, {percentile}'
        yield Bar(what, LATENCY_US[percentile], latency, 'us')


def _memory(name: str, figures: Figures) -> Iterator[Bar]:
    if figures['seconds'] >= LONG:
        what = f'{name}: change of memory in {figures["seconds"]:.0f} s'
        yield Bar(what, GROWTH_MB, abs(growth_mb(figures)), 'MB')


def _goals(name: str, figures: Figures) -> Iterator[Bar]:
    tasks = figures['tasks']
    yield Bar(f'{name}: goals missed of {tasks["set"]}', 0.0, tasks['missed'], '')


def _misses(name: str, figures: Figures) -> Iterator[Bar]:
    cycles = figures['loop']['cycles']
    what = f'{name}: unexplained deadline misses in {cycles:.0f} cycles'
    yield Bar(what, 0.0, figures['unexplained_misses'], '')


JUDGES: tuple[Callable[[str, Figures], Iterator[Bar]], ...] = (
    _rate,
    _jitter,
    _cpu,
    _latency,
    _memory,
    _goals,
    _misses,
)
