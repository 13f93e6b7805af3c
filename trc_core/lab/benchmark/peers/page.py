"""The section about peers, on the page and as a picture."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from trc_core.lab.benchmark.peers.acados_peer import BLOCK
from trc_core.lab.benchmark.peers.crocoddyl_peer import PENALTY
from trc_core.lab.benchmark.peers.race import CLASSICAL, FEASIBLE, NETWORK, NOISE, TICKS
from trc_core.lab.markdown import table

OURS = (NETWORK, CLASSICAL)
FAMILIES = ('fatrop', 'Crocoddyl', 'acados')
EQUAL = 1e-3  # by which the 90th percentile of M/M* may be higher and still count as equal
HEADS = ['', 'cold p50', 'p99', 'M/M* (p90)', 'warm p50', 'p99', 'M/M* (p90)', 'near the best']
HEADS += ['violation', 'n']
Section = Mapping[str, Any]


def pages(results: Section) -> Iterator[str]:
    """The section of the page."""
    systems = raced(results)
    if not systems:
        return
    yield '## Beside solvers of others'
    yield (
        'All plan the same problems, with our RK4 step and our costs: fresh starts (*cold*), then '
        f'{TICKS} ticks along a flight with noise of {NOISE:g} of the box of starts (*warm*: from '
        'the own plan of the tick before, a step later, with its duals where the solver takes '
        'them). Cold ones begin from the same guess, which is not timed. Controls are clipped '
        'into the bounds and flown on our dynamics; M is the merit of that flight, J and '
        'violations by their weight, and M* the best of all, improved by sweeps. Median (90th '
        f'percentile). *Near the best*: warm plans within 0.1 % of M* that violate nothing by '
        f'more than {FEASIBLE:g}. *Violation*: the largest, warm. CPU microseconds of the '
        'calling thread, all solvers in turn, in a random order, problem by problem; slow ones '
        'take part in fewer flights.'
    )
    yield '\n'.join(_conditions(results))
    for name, found in systems.items():
        yield f'### {name}: first plans and warm ticks'
        rows = sorted(found['figures'], key=lambda label: found['figures'][label]['warm']['p50'])
        yield table(HEADS, [_row(label, found['figures'][label]) for label in rows])
        if found['absent']:
            yield '\n'.join(f'- {label}: {why}' for label, why in found['absent'].items())
    yield '### Warm ticks beside fatrop, Crocoddyl and acados'
    yield (
        'Ours is the faster one of those whose 90th percentile of M/M* is the lowest of ours, to '
        f'{EQUAL:g}; theirs the fastest one that is not worse than ours by more than that, or '
        'the one of the lowest 90th percentile where all are. *Times*: theirs over ours; then '
        'the same without what it spends in functions of its program.'
    )
    heads = ['', 'ours', 'us', 'M/M* (p90)', 'theirs', 'us', 'M/M* (p90)', 'times', 'without']
    duels = [_duel(name, f, family) for name, f in systems.items() for family in FAMILIES]
    yield table(heads, [row for row in duels if row])


def raced(results: Section) -> dict[str, Section]:
    """The figures by system."""
    return {name: f for name, f in results.items() if isinstance(f, Mapping) and 'figures' in f}


def _conditions(results: Section) -> Iterator[str]:
    yield (
        '- *trc* is a whole call of `Controller.plan`, with its checks, in Python; so are '
        '*fatrop*, *IPOPT* and *sqpmethod* a call of `casadi.nlpsol`.'
    )
    yield (
        "- CasADi's functions run in its virtual machine, but for the arm, whose steps are our "
        'machine code in all solvers. Generated C code would be faster, by at most what fatrop '
        'spends in functions: ' + ', '.join(_shares(results)) + ' of its time.'
    )
    yield f'- *sqpmethod* has the QP solver {results.get("QP solver", "none")}.'
    yield (
        '- *Crocoddyl* is its C++ library: our compiled step, its slopes and the slopes of our '
        'costs are called from C++, and no Python runs within a solve. BoxFDDP has no '
        f'constraints but bounds of controls: others are penalties {PENALTY:g} h^2 / 2.'
    )
    yield (
        '- *acados* is generated C code of the same step and residuals, with Gauss-Newton and '
        f'HPIPM, {BLOCK} steps condensed into one; a constraint costs there what it costs in the '
        'merit. *RTI* is preparation and feedback together.'
    )
    yield (
        '- *MPPI* is one iteration of our own, with compiled roll-outs; *pytorch-mppi*, where it '
        'is in the table, one of that package, whose roll-outs are PyTorch operations.'
    )
    yield (
        "- do-mpc's *ApproxMPC* is left out: its network answers with the first control alone, "
        'for the goal that it was trained for, so that there is no plan to judge.'
    )


def _shares(results: Section) -> Iterator[str]:
    for name, found in raced(results).items():
        for label, row in found['figures'].items():
            if 'functions' in row and label.startswith('fatrop'):
                yield f'{row["functions"]:.0%} ({name})'


def _row(label: str, row: Section) -> list[str]:
    cold, warm = row['cold'], row['warm']
    return [
        f'**{label}**' if label in OURS else label,
        *_cells(cold),
        *_cells(warm),
        f'{warm["near"]:.0%}',
        f'{warm["violation"]:.1e}' if warm['violation'] > 0 else '0',
        f'{cold["count"]}, {warm["count"]}',
    ]


def _cells(figures: Section) -> list[str]:
    tail = f'{figures["p99"]:,.0f}' if 'p99' in figures else f'max {figures["max"]:,.0f}'
    return [
        f'{figures["p50"]:,.0f}',
        tail,
        f'{figures["ratio"]:.5f} ({figures["ratio p90"]:.4g})',
    ]


def _duel(name: str, found: Section, family: str) -> list[str]:
    """Ours beside a family of solvers; nothing where one of both is absent."""
    warm = {label: row['warm'] for label, row in found['figures'].items()}
    ours, theirs = ([k for k in warm if k.startswith(begin)] for begin in ('trc', family))
    if not ours or not theirs:
        return []
    own = _fastest(warm, ours, min(warm[label]['ratio p90'] for label in ours))
    other = _fastest(warm, theirs, warm[own]['ratio p90'])
    times, row = warm[other]['p50'] / warm[own]['p50'], found['figures'][other]
    rest = f'{times * (1.0 - row["functions"]):.1f}' if 'functions' in row else ''
    return [name, own, *_short(warm[own]), other, *_short(warm[other]), f'{times:.1f}', rest]


def _fastest(warm: Section, labels: list[str], merit: float) -> str:
    """The fastest one whose merit is as good, or the best one where none is."""
    equal = [label for label in labels if warm[label]['ratio p90'] <= merit + EQUAL]
    if not equal:
        return min(labels, key=lambda label: warm[label]['ratio p90'])
    return min(equal, key=lambda label: warm[label]['p50'])


def _short(figures: Section) -> list[str]:
    return [f'{figures["p50"]:,.0f}', f'{figures["ratio"]:.5f} ({figures["ratio p90"]:.4g})']


def draw(results: Section) -> Any:
    """Merit over the best and time of warm ticks, by system; None without figures."""
    from matplotlib.figure import Figure

    systems = raced(results)
    if not systems:
        return None
    figure = Figure(figsize=(3.2 * len(systems), 3.6))
    for axes, (name, found) in zip(
        figure.subplots(1, len(systems), squeeze=False)[0], systems.items(), strict=True
    ):
        for label, row in found['figures'].items():
            excess = max(row['warm']['ratio'] - 1.0, 1e-8)
            mark = 'o' if label in OURS else 's'
            axes.plot(row['warm']['p50'], excess, mark, label=label, ms=5)
        axes.set(title=name, xscale='log', yscale='log', xlabel='us, warm p50')
        axes.grid(alpha=0.3)
    figure.axes[0].set_ylabel('median of M/M* - 1')
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc='lower center', ncols=4, fontsize=6)
    figure.tight_layout(rect=(0, 0.16, 1, 1))
    return figure
