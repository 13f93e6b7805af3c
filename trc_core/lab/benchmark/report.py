"""The figures as a Markdown page."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from trc_core import provenance
from trc_core.lab.benchmark import constrained
from trc_core.lab.benchmark.bars import Results, bars
from trc_core.lab.benchmark.peers import page as peers
from trc_core.lab.markdown import table

AS_CHEAP = 1e-5  # J/J* may be so much higher and still count as not worse
TRC = 'trc '


def report(results: Results, plots: Iterable[str] = ()) -> str:
    """The page: where it was measured, the bars, every section, and where a baseline wins.

    Args:
        results: the figures, by section.
        plots: names of image files beside the page.
    """
    blocks = [
        '# Benchmark',
        f'`{results["command"]}`',
        _environment(results),
        *(f'![{name}]({name})' for name in plots),
        *_bars(results),
        *_baselines_that_win(results),
        *_latency(results),
        *_ratio(results),
        *_tail(results),
        *_floor(results),
        *_throughput(results),
        *_scaling(results),
        *_process(results),
        *_versions(results),
        *constrained.pages(results.get('constraints', {})),
        *peers.pages(results.get('peers', {})),
    ]
    return '\n\n'.join(block for block in blocks if block) + '\n'


def _environment(results: Results) -> str:
    note = (
        [f'\n**Interrupted in `{results["interrupted"]}`.**'] if 'interrupted' in results else []
    )
    return '\n'.join([provenance.table(results['environment']), *note])


def _bars(results: Results) -> list[str]:
    rows = [str(bar) for bar in bars(results)]
    if not rows:
        return []
    return ['## Bars', '\n'.join(['| | bar | measured | |', '|---|---|---|---|', *rows])]


def _latency(results: Results) -> Iterator[str]:
    if not results.get('latency'):
        return
    yield '## Latency and cost'
    yield (
        'Interleaved: in every round each planner plans the same fresh problem once, in a '
        'random order, on caches that the others have just filled; slow ones take part in fewer '
        'rounds. *Cold* is a plan from x_0 and nothing else, *warm* one from the second state of '
        "the planner's own plan, given that plan. J/J* is the mean over the problems (and its "
        'maximum). Microseconds.'
    )
    for system, result in results['latency'].items():
        yield f'### {system}'
        yield _planners(result)


def _versions(results: Results) -> Iterator[str]:
    if not results.get('versions'):
        return
    yield '## Beside another version'
    yield (
        'Both versions plan the same problems with their shipped controllers, in turns of a few '
        'plans, each in a process of its own. Microseconds; the ratio is ours over the other.'
    )
    heads = ['', 'p50', 'p99', 'other p50', 'other p99', 'ratio of p50', 'largest gap of J']
    rows = [
        [
            f'{system}, {task}',
            *(_number(figures['this version'].get(c)) for c in ('p50', 'p99')),
            *(_number(figures['other version'].get(c)) for c in ('p50', 'p99')),
            f'{figures["ratio of p50"]:.2f}',
            f'{figures["largest difference of J"]:.1e}',
        ]
        for system, tasks in results['versions'].items()
        for task, figures in tasks.items()
    ]
    yield table(heads, rows)


COLUMNS = ('p50', 'p99', 'p99.9')


def _planners(result: Mapping[str, Any]) -> str:
    heads = ['', *(f'cold {c}' for c in COLUMNS), 'J/J* (max)']
    heads += [*(f'warm {c}' for c in COLUMNS), 'J/J* (max)', 'n']
    rows = []
    figures = result.get('figures', {})
    for label in sorted(figures, key=lambda name: figures[name]['cold'].get('p50', 0.0)):
        cold, warm = figures[label]['cold'], figures[label]['warm']
        name = f'**{label}**' if label.startswith(TRC) else label
        rows.append([name, *_cells(cold), *_cells(warm), str(cold['count'])])
    absent = [f'- {label}: {why}' for label, why in result.get('absent', {}).items()]
    return '\n'.join([table(heads, rows), *(['', *absent] if absent else [])])


def _cells(figures: Mapping[str, float]) -> list[str]:
    cells = [_number(figures.get(column)) for column in COLUMNS]
    ratio = f'{figures["ratio"]:.5f} ({figures["ratio_max"]:.4g})' if 'ratio' in figures else ''
    return [*cells, ratio]


def _number(value: float | None) -> str:
    return '' if value is None else f'{value:,.0f}' if value >= 100 else f'{value:.3g}'


def _baselines_that_win(results: Results) -> Iterator[str]:
    if not results.get('latency'):
        return
    yield '## Where a baseline wins'
    wins = list(winners(results))
    if not wins:
        yield 'Nowhere in this run: no baseline was faster at a cost that is not higher.'
        return
    yield (
        'Baselines whose p50 is lower than that of the fastest backend at its default number of '
        'cycles, at a mean J/J* that is not higher:'
    )
    yield '\n'.join(map(str, wins))


@dataclass(frozen=True)
class Win:
    """A baseline that is faster than our fastest backend, at a cost that is not higher."""

    system: str
    task: str
    baseline: str
    theirs: Mapping[str, float]
    label: str
    ours: Mapping[str, float]

    def __str__(self) -> str:
        both = ((self.baseline, self.theirs), (self.label, self.ours))
        texts = [f'{who} takes {_number(f["p50"])} us at {f["ratio"]:.6f}' for who, f in both]
        return f'- **{self.system}**, {self.task}: {", ".join(texts)}'


def winners(results: Results) -> Iterator[Win]:
    """Every system and task where a baseline wins, and by how much."""
    for system, result in results.get('latency', {}).items():
        for task in ('cold', 'warm'):
            known = {
                label: figure
                for label, figure in result.get('figures', {}).items()
                if {'p50', 'ratio'} <= figure[task].keys()
            }
            ours = [k for k, f in known.items() if not f['baseline'] and 'cycle' not in k]
            if not ours:
                continue
            best = min((known[label][task]['p50'], label) for label in ours)[1]
            own = known[best][task]
            for label, figure in known.items():
                theirs = figure[task]
                cheap = theirs['ratio'] <= own['ratio'] + AS_CHEAP
                if figure['baseline'] and cheap and theirs['p50'] < own['p50']:
                    yield Win(system, task, label, theirs, best, own)


def _ratio(results: Results) -> Iterator[str]:
    if not results.get('ratio'):
        return
    yield '## Against PyTorch eager'
    yield (
        'The same model, the same number of cycles, whatever they gain, one thread. *trc torch* '
        'runs the network in PyTorch eager and the physics compiled; the last does everything in '
        'PyTorch operations, as PyTorch users do.'
    )
    rows = []
    for system, result in results['ratio'].items():
        for label, figure in result.get('figures', {}).items():
            cold = figure['cold']
            cost = f'{cold["ratio"]:.5f}' if 'ratio' in cold else ''
            times = f'{figure["times"]:.1f}' if 'times' in figure else ''
            p50, count = _number(cold.get('p50')), str(cold['count'])
            rows.append([system, label, p50, times, cost, count])
        rows += [[system, k, v, '', '', ''] for k, v in result.get('absent', {}).items()]
    yield table(['', '', 'p50 us', 'times', 'J/J*', 'n'], rows)


def _tail(results: Results) -> Iterator[str]:
    if not results.get('tail'):
        return
    yield '## Alone'
    yield 'The first backend with nobody else on its core: plans back to back. Microseconds.'
    rows = []
    for system, kinds in results['tail'].items():
        for label, row in kinds.items():
            ratio = f'{row["p99"] / row["p50"]:.2f}' if 'p99' in row else ''
            cells = [_number(row.get(c)) for c in (*COLUMNS, 'max')]
            rows.append([system, label, *cells, ratio, str(row['count'])])
    yield table(['', '', *COLUMNS, 'max', 'p99 / p50', 'n'], rows)


def _floor(results: Results) -> Iterator[str]:
    if not results.get('floor'):
        return
    yield '## The network and its floor'
    yield (
        'The floor is the time in which the weights of one cycle, counted as often as they are '
        'read, stream through a compiled sum at the rate measured in the same seconds. '
        'Of both the least of many interleaved measurements.'
    )
    rows = [
        [
            system,
            f'{row["weights"]:,}',
            f'{row["bytes read"] / 1e3:,.0f}',
            f'{row["bytes per second"] / 1e9:.0f}',
            f'{row["floor_us"]:.1f}',
            f'{row["network_us"]:.1f}',
            f'{row["times"]:.2f}',
        ]
        for system, row in results['floor'].items()
    ]
    yield table(['', 'weights', 'read, kB', 'GB/s', 'floor us', 'network us', 'times'], rows)


def _throughput(results: Results) -> Iterator[str]:
    if not results.get('throughput'):
        return
    yield '## Throughput'
    yield (
        'Plans per second of `plan_batch` on fresh problems. With *early exit*, the default, a '
        'plan is done when a cycle is expected to gain less than a millionth of J: on the double '
        'integrator the clipped LQR is the optimum, so that most plans take no cycle at all. *Of '
        'a CPU second*: by the CPU time of all threads, not the time on the wall.'
    )
    for system, kinds in results['throughput'].items():
        measured = {label: row for label, row in kinds.items() if isinstance(row, Mapping)}
        batches = list(dict.fromkeys(B for row in measured.values() for B in row))
        rows = [
            [label, *(f'{row[B]:,.0f}' if B in row else '' for B in batches)]
            for label, row in measured.items()
        ]
        yield table([system, *batches], rows)
        yield from (f'- {k}: {v}' for k, v in kinds.items() if not isinstance(v, Mapping))


def _scaling(results: Results) -> Iterator[str]:
    scaling = results.get('scaling', {})
    for key, heading in (('by cycles', 'Cycles'), ('by horizon', 'Horizon')):
        if not scaling.get(key):
            continue
        yield f'## {heading}'
        yield _about(scaling, key)
        rows = []
        for label, figure in scaling[key].items():
            cold = figure['cold']
            cost = f'{cold["ratio"]:.6f}' if 'ratio' in cold else ''
            times = [_number(cold.get(name)) for name in ('p50', 'p99')]
            rows.append([label, *times, cost, f'{figure["cycles"]:.2f}'])
        yield table(['', 'p50 us', 'p99 us', 'J/J*', 'mean cycles'], rows)
    yield from (f'{label}: {why}' for label, why in scaling.get('absent', {}).items())


def _about(scaling: Mapping[str, Any], key: str) -> str:
    if key == 'by cycles':
        return f'{scaling["system"]}: exactly K cycles, whatever they gain, interleaved.'
    compiled = scaling.get('compiled')
    note = f' All horizons ran {compiled} compiled specialisation(s).' if compiled else ''
    return (
        'The default cycles, all of them, by untrained networks: the time does not depend on '
        'the weights, but their proposals are often refused, and a refused one costs a second '
        f'roll-out.{note}'
    )


def _process(results: Results) -> Iterator[str]:
    if results.get('start'):
        yield '## Start and memory'
        rows = []
        for backend, row in results['start'].items():
            if 'absent' in row:
                rows.append([backend, row['absent'], '', '', '', ''])
                continue
            seconds = [f'{row[key]:.2f}' for key in ('import', 'first plan', 'slowest')]
            rows.append([backend, *seconds, f'{row["peak MB"]:.0f}', str(row['count'])])
        yield table(['', 'imported s', 'first plan s', 'slowest s', 'peak MB', 'n'], rows)
    if results.get('soak', {}).get('rss_mb'):
        soak = results['soak']
        yield '## Soak'
        readings = ', '.join(f'{value:.1f}' for value in soak['rss_mb'])
        yield (
            f'Resident memory over {soak["plans"]:,} plans of {soak["system"]}: '
            f'{soak["before_mb"]:.1f} MB before, then {readings} MB.'
        )
