"""Bars: the speed that the project promises, and what was measured."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from trc_core.lab.benchmark.baselines import EXPERT_IPOPT, IPOPT
from trc_core.lab.benchmark.constrained import OURS as CONSTRAINED
from trc_core.lab.benchmark.planners import EAGER

Results = Mapping[str, Any]
EAGER_BARS = {'double_integrator': 20.0, 'van_der_pol': 100.0, 'quadrotor_2d': 50.0}
OURS = ('trc numba', 'trc numba, 1 cycle')
IPOPT_SYSTEMS = ('van_der_pol', 'cartpole')
RATIO_BAR = 1.001
FLOOR_BAR, IPOPT_BAR, TAIL_BAR = 3.0, 10.0, 3.0
PLAN_US, CYCLE_US = 500.0, 200.0
START_S, START_MB = 1.5, 200.0
BATCH, BATCH_BAR = '1024', 20_000.0
SOAK_MB = 5.0
REACHED_BAR, SWEEPS_MS = 0.9, 5.0
FLIGHT_BAR, TICK_MS = 1.01, 0.15
DEEPEST_MM = {'fixed circles': 20.0, 'moving circles': 25.0}


@dataclass(frozen=True)
class Bar:
    """A promised figure beside the measured one."""

    what: str
    limit: float
    measured: float
    unit: str
    at_least: bool = False
    """Whether more is better."""

    @property
    def met(self) -> bool:
        return self.measured >= self.limit if self.at_least else self.measured <= self.limit

    def __str__(self) -> str:
        sign = '≥' if self.at_least else '≤'
        verdict = 'met' if self.met else '**missed**'
        bar = f'{sign} {self.limit:,.6g} {self.unit}'.rstrip()
        return f'| {self.what} | {bar} | {_short(self.measured)} | {verdict} |'


def bars(results: Results) -> list[Bar]:
    """Every promise that the results can judge."""
    return [bar for judge in JUDGES for bar in judge(results)]


def _eager(results: Results) -> Iterator[Bar]:
    for system, limit in EAGER_BARS.items():
        times = _find(results, 'ratio', system, 'figures', EAGER, 'times')
        if times is not None:
            what = f'{system}: numba against PyTorch eager, the same cycles'
            yield Bar(what, limit, times, 'x', at_least=True)


def _floor(results: Results) -> Iterator[Bar]:
    for system, row in results.get('floor', {}).items():
        yield Bar(f'{system}: the network against its floor', FLOOR_BAR, row['times'], 'x')


def _plan(results: Results) -> Iterator[Bar]:
    rows = _find(results, 'tail', 'van_der_pol') or {}
    for label, limit in (('a plan', PLAN_US), ('warm-started, 1 cycle', CYCLE_US)):
        if 'p50' in rows.get(label, {}):
            yield Bar(f'van_der_pol: {label}, p50, alone', limit, rows[label]['p50'], 'us')


def _tails(results: Results) -> Iterator[Bar]:
    for system, rows in results.get('tail', {}).items():
        for label, row in rows.items():
            if 'p99' in row:
                ratio = row['p99'] / row['p50']
                yield Bar(f'{system}: {label}, p99 / p50, alone', TAIL_BAR, ratio, 'x')


def _ipopt(results: Results) -> Iterator[Bar]:
    for system in IPOPT_SYSTEMS:
        figures = _find(results, 'latency', system, 'figures') or {}
        for baseline in (EXPERT_IPOPT, IPOPT):
            theirs = _find(figures, baseline, 'warm', 'p50')
            for label in OURS:
                ours = _find(figures, label, 'warm', 'p50')
                if ours and theirs:
                    what = f'{system}: {label}, warm, against {baseline}'
                    yield Bar(what, IPOPT_BAR, theirs / ours, 'x', at_least=True)
        for label in OURS:
            for task in ('cold', 'warm'):
                cost = _find(figures, label, task, 'ratio')
                if cost is not None:
                    yield Bar(f'{system}: {label}, {task}, mean J/J*', RATIO_BAR, cost, '')


def _start(results: Results) -> Iterator[Bar]:
    row = results.get('start', {}).get('numba', {})
    if 'first plan' in row:
        yield Bar('process start to first plan', START_S, row['first plan'], 's')
        yield Bar('memory of that process', START_MB, row['peak MB'], 'MB')


def _batch(results: Results) -> Iterator[Bar]:
    rows = _find(results, 'throughput', 'double_integrator') or {}
    for label, row in rows.items():
        if label.startswith('numba') and BATCH in row:
            what = f'double_integrator: batch {BATCH}, {label}'
            yield Bar(what, BATCH_BAR, row[BATCH], 'plans/s', at_least=True)


def _soak(results: Results) -> Iterator[Bar]:
    row = results.get('soak', {})
    if row.get('rss_mb'):
        grown = row['rss_mb'][-1] - row['rss_mb'][0]
        what = f'memory grown over {row["plans"]:,} plans, after the first tenth'
        yield Bar(what, SOAK_MB, grown, 'MB')


def _constraints(results: Results) -> Iterator[Bar]:
    plans = _find(results, 'constraints', 'plans') or {}
    if CONSTRAINED in plans:
        row = plans[CONSTRAINED]
        what = 'bicycle_circles: reached from the line, of those not wedged'
        yield Bar(what, REACHED_BAR, row['reached, not wedged'], '', at_least=True)
        yield Bar('bicycle_circles: 60 sweeps, median', SWEEPS_MS, row['ms'], 'ms')
        for label, theirs in plans.items():
            if label != CONSTRAINED:
                times = theirs['ms'] / row['ms']
                yield Bar(f'bicycle_circles: against {label}', 1.0, times, 'x', at_least=True)
    for kind, limit in DEEPEST_MM.items():
        row = _find(results, 'constraints', kind)
        if row:
            yield Bar(f'{kind}: cost over converged MPC', FLIGHT_BAR, row['cost'], '')
            yield Bar(f'{kind}: deepest', limit, row['trc']['deepest mm'], 'mm')
            yield Bar(f'{kind}: lost', 0.0, row['trc']['lost'], '')
            yield Bar(f'{kind}: a tick', TICK_MS, row['trc']['ms'], 'ms')


JUDGES: tuple[Callable[[Results], Iterator[Bar]], ...] = (
    _eager,
    _floor,
    _plan,
    _tails,
    _ipopt,
    _start,
    _batch,
    _soak,
    _constraints,
)


def _find(results: Any, *keys: str) -> Any:
    """The value under nested keys; None where there is none."""
    for key in keys:
        if not isinstance(results, Mapping) or key not in results:
            return None
        results = results[key]
    return results


def _short(value: float) -> str:
    """Three digits, or five decimals where the first three say 1.00."""
    return (
        f'{value:.5f}'
        if 0.995 <= value < 1.005
        else f'{value:,.0f}'
        if value >= 100
        else f'{value:.3g}'
    )
