"""Report of a fine-tuning: the same held-out plants under the tuned controller and baselines."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from trc_core import provenance
from trc_core.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from trc_core.finetuning.baselines import DelayCompensation, clipped_lqr, ilqr_mpc
from trc_core.finetuning.config import FinetuneConfig
from trc_core.finetuning.flights import FlightRecord, Planner
from trc_core.finetuning.problems import TEST_SEED, Problems, Scenario, planner_of
from trc_core.planner.controller import Controller
from trc_core.planner.correction import Weights
from trc_core.problem.system import Array, System
from trc_core.progress import progress_bar
from trc_core.whole_files import whole_file, write_whole

UNTUNED, TUNED, ILQR = 'trc, un-tuned', 'trc, tuned', 'iLQR-MPC'
AHEAD_ONLY = 'trc, tuned, looking ahead only'
KNOWN = ', delay known'
SWEEPS = 20  # of iLQR-MPC, per tick
TEST_HORIZONS = 2.0
CONFIDENCE, RESAMPLES = 0.95, 9999


@dataclass(frozen=True)
class Figures:
    """Closed-loop figures of one controller on the held-out flights."""

    mean: float
    """Closed-loop cost."""
    interval: tuple[float, float]
    """Confidence interval of the mean, by bootstrap."""
    median: float
    p95: float
    success: float
    """Share of flights that end within 0.1 of the goal."""
    fallen: float
    """Share that ends early, or further away than training states begin."""
    bounded: float
    """Share of ticks with a control on its bound."""

    @classmethod
    def of(cls, flown: FlightRecord) -> Figures:
        """Figures of a record."""
        J = flown.total
        return cls(
            mean=float(J.mean()),
            interval=bootstrap(J),
            median=float(np.median(J)),
            p95=float(np.quantile(J, 0.95)),
            success=float(flown.success.mean()),
            fallen=float(flown.fallen.mean()),
            bounded=float(flown.bounded.mean()),
        )


@dataclass(frozen=True)
class Comparison:
    """All controllers on the held-out flights, and on the model itself."""

    rows: Mapping[str, Figures]
    """Figures of every controller, on plants that differ from the model."""
    improvement: float
    """1 - mean cost tuned / un-tuned."""
    improvement_interval: tuple[float, float]
    """Its confidence interval, by bootstrap over flights, each with both of its costs."""
    nominal: Mapping[str, float]
    """Mean closed-loop cost on the model itself over that of iLQR-MPC, state by state."""
    flights: int
    seed: int

    def record(self) -> dict[str, Any]:
        """The comparison as JSON values."""
        return asdict(self)


def bootstrap(J: Array, other: Array | None = None) -> tuple[float, float]:
    """The interval of a mean (N,), or of 1 - mean(J) / mean(other), flights kept in pairs."""
    from scipy import stats

    samples = (J,) if other is None else (J, other)

    def improvement(a: Array, b: Array, axis: int = -1) -> Any:
        return 1 - np.mean(a, axis=axis) / np.mean(b, axis=axis)

    found = stats.bootstrap(
        samples,
        np.mean if other is None else improvement,
        paired=other is not None,
        vectorized=True,
        confidence_level=CONFIDENCE,
        n_resamples=RESAMPLES,
        method='percentile',
        rng=np.random.default_rng(0),
    )
    return float(found.confidence_interval.low), float(found.confidence_interval.high)


def test_and_report(
    config: FinetuneConfig, problems: Problems, before: Checkpoint, path: Path
) -> Comparison:
    """Flies everything, writes the report, and the figures into the checkpoint at `path`."""
    after = load_checkpoint(path, before.system)
    controllers = {
        UNTUNED: Controller(before),
        TUNED: Controller(after),
        AHEAD_ONLY: Controller(ahead_only(after)),
    }
    count = config.test_flights
    delay = config.delay[0] if config.delay[0] == config.delay[1] else 0
    flown = _fly_all(problems, problems.held, _planners(controllers, before.system, delay), count)
    nominal = _fly_all(
        problems, problems.held_nominal, _planners(controllers, before.system, 0), count
    )
    test = _compared(flown, nominal, count)
    save_checkpoint(path, after.with_figures('finetuning', test.record()))
    stem = Path(config.report or Path(config.output_dir) / 'report')
    stem.parent.mkdir(parents=True, exist_ok=True)
    origin = _origin(after.training)
    text = describe(test, before.system, origin, stem.name)
    record = {'origin': origin, **test.record()}
    write_whole(stem.with_suffix('.json'), json.dumps(record, indent=2) + '\n')
    write_whole(stem.with_suffix('.md'), text)
    draw(flown, before.system, stem.with_suffix('.png'))
    print(text)
    return test


def ahead_only(tuned: Checkpoint) -> Checkpoint:
    """The tuned checkpoint without the change of the first control: it only looks ahead."""
    weights = Weights.from_tensors(tuned.correction)
    silent = replace(
        weights,
        output_weight=np.zeros_like(weights.output_weight),
        output_bias=np.zeros_like(weights.output_bias),
    )
    return replace(tuned, correction=silent.tensors())


def _planners(
    controllers: Mapping[str, Controller], system: System, delay: int
) -> dict[str, Planner]:
    """The controllers and baselines; with the delay known only where there is one."""
    table: dict[str, Planner] = {label: planner_of(c) for label, c in controllers.items()}
    table |= {'clipped LQR': clipped_lqr(system), ILQR: ilqr_mpc(system, SWEEPS)}
    if delay:
        informed = (UNTUNED, 'clipped LQR', ILQR)
        table |= {
            label + KNOWN: DelayCompensation(table[label], system, delay) for label in informed
        }
    return table


def _fly_all(
    problems: Problems, held: Any, planners: Mapping[str, Planner], count: int
) -> dict[str, FlightRecord]:
    flown = {}
    for label, planner in progress_bar(planners.items(), label='test', leave=False):
        scenario: Scenario = held(count, TEST_SEED)
        flown[label] = problems.fly(planner, scenario, horizons=TEST_HORIZONS)
    return flown


def _compared(
    flown: Mapping[str, FlightRecord], nominal: Mapping[str, FlightRecord], count: int
) -> Comparison:
    before, after = flown[UNTUNED].total, flown[TUNED].total
    reference = nominal[ILQR].total
    return Comparison(
        rows={label: Figures.of(f) for label, f in flown.items()},
        improvement=float(1 - after.mean() / before.mean()),
        improvement_interval=bootstrap(after, before),
        nominal={label: float((f.total / reference).mean()) for label, f in nominal.items()},
        flights=count,
        seed=TEST_SEED,
    )


def _origin(training: Mapping[str, Any]) -> dict[str, str]:
    seconds = f'{training["seconds"]:.0f} s ({training["cpu_seconds"]:.0f} CPU seconds)'
    return {
        'command': f'`{training["command"]}`',
        'seed': f'{training["seed"]} of the training, {TEST_SEED} of the flights',
        **provenance.brief(),
        'learning': f'{training["iterations"]} iterations, {seconds}',
    }


def describe(test: Comparison, system: System, origin: Mapping[str, str], figure: str) -> str:
    """The report as Markdown."""
    low, high = test.improvement_interval
    lines = [
        f'# {system.name}, fine-tuned',
        '',
        provenance.table(origin),
        '',
        f'Mean closed-loop cost **{test.improvement:.1%} below** the un-tuned controller '
        f'(95 % interval {low:.1%} to {high:.1%}), on {test.flights} flights of held-out plants, '
        f'{TEST_HORIZONS:g} horizons each.',
        '',
        '| | mean cost (95 % interval) | median | p95 | success | fallen | on a bound | '
        'model itself: mean J/J of iLQR-MPC |',
        '|---|---|---|---|---|---|---|---|',
    ]
    for label, row in test.rows.items():
        nominal = test.nominal.get(label)
        lines.append(
            f'| {label} | {row.mean:.1f} ({row.interval[0]:.1f} to {row.interval[1]:.1f}) '
            f'| {row.median:.1f} | {row.p95:.1f} | {row.success:.0%} | {row.fallen:.0%} '
            f'| {row.bounded:.0%} | {"" if nominal is None else f"{nominal:.4f}"} |'
        )
    lines += [
        '',
        f'![Distributions of the closed-loop cost]({figure}.png)',
        '',
    ]
    return '\n'.join(lines)


def draw(flown: Mapping[str, FlightRecord], system: System, path: Path) -> None:
    """Draws the distributions of the cost: which share of flights costs at most that."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.0, 4.2), layout='constrained')
    axes = figure.subplots()
    for label, f in flown.items():
        share = np.arange(1, len(f.total) + 1) / len(f.total)
        known = label.endswith(KNOWN)
        width = 5.0 if label == TUNED else 1.0 if known else 1.8  # others may lie upon it
        style = {'linestyle': '--' if known else '-', 'linewidth': width}
        axes.plot(np.sort(f.total), share, label=label, **style)  # type: ignore[arg-type]
    axes.set(
        xscale='log',
        xlabel='closed-loop cost of a flight',
        ylabel='share of flights that cost at most this',
        title=f'{system.name}: plants that differ from the model',
    )
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    with whole_file(path) as temporary:
        figure.savefig(temporary, format='png', dpi=130)
