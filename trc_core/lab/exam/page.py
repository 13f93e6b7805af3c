"""The page about exams: Markdown, from what was measured."""

from __future__ import annotations

from collections.abc import Iterable

from trc_core.lab.exam.judge import FEASIBLE, GOOD, SOLVERS, Marks, Record, marks, passes
from trc_core.lab.exam.sitting import LONGEST, RANDOM, RANDOM_FREE, SECONDS, STARTS
from trc_core.lab.markdown import table

NONE = '–'


def line_of(exam: Record) -> str:
    """One line about an exam that has ended."""
    if 'refused' in exam:
        return f'{exam["name"]}: cannot be stated: {exam["refused"]}'
    found = marks(exam)
    figures = [f'{name} {_number(one.mean)}' for name, one in found.items()]
    return f'{exam["name"]}: {"passed" if passes(exam) else "failed"}; ' + ', '.join(figures)


def reason(exam: Record) -> str:
    """Why an exam is failed, in one line, from its figures."""
    if 'refused' in exam:
        return f'cannot be stated: {exam["refused"]}'
    found = marks(exam)
    ours = {name: found[name] for name in ('classical', 'network') if name in found}
    if ours and not any(name in found for name in SOLVERS):
        return 'no other solver had answered when the page was made: not judged'
    if not ours:
        return str(exam['classical'].get('error', 'no plan'))
    name, best = min(ours.items(), key=lambda one: (one[1].wrong, one[1].mean))
    who = {'classical': 'the classical controller', 'network': 'the trained controller'}[name]
    parts = []
    if best.violation > FEASIBLE:
        parts.append(f'a plan of {who} violates a constraint by {best.violation:.2g}')
    if best.mean > GOOD:
        parts.append(
            f'{who} is more than 2 % dearer, or beyond a constraint, on {best.wrong:.0%} of the '
            f'problems (mean {_number(best.mean)})'
        )
    evidence = exam.get('evidence', {}).get('why', '')
    return '; '.join([*parts, evidence] if evidence else parts)


def page(record: Record) -> str:
    """The page."""
    exams, options = record['exams'], record['options']
    stated = [exam for exam in exams if 'refused' not in exam]
    passed = [exam for exam in stated if passes(exam)]
    failed = [exam for exam in exams if exam not in passed]
    parts = [
        _head(record, len(exams), len(stated), len(passed)),
        '## Plans\n\n' + _plans(stated),
        '## Closed loop\n\n' + _loops(stated),
        '## Solvers\n\n' + _solvers(stated),
        _published(stated),
        _trainings(stated, options),
        '## What failed, and why\n\n' + _failures(failed),
    ]
    return '\n\n'.join(part for part in parts if part) + '\n'


def _head(record: Record, count: int, stated: int, passed: int) -> str:
    options, origin = record['options'], record['origin']
    return (
        '# Public exams\n\n'
        'Problems of other projects, written from their published equations and constants in the '
        'language of [`System`](../stating_your_problem.md), about 30 lines each: '
        '[`examples/exams/`](../../examples/exams/). Each file names its source. '
        'This page is made by one command:\n\n'
        f'```bash\n{_command(options)}\n```\n\n'
        f'*Measured with this command, {origin["date"]}, on '
        '[the machine](README.md#the-machine); what is missing in the folder of the units '
        '(`outputs/exams`) is made, so that an interrupted run goes on.*\n\n'
        f'**{stated} of {count} are stated; {passed} of those {stated} are passed**: J is within '
        f'{GOOD - 1.0:.0%} of the best known in the mean over {options["problems"]} problems, and '
        f'every plan keeps every constraint to {FEASIBLE:g} of its unit, by the classical '
        'controller or by one that was trained. The first problem begins where the source begins; '
        'the others are drawn from boxes around it.\n\n'
        f'J\\* and M\\* are the lowest J and merit of all planners of this page: IPOPT and fatrop '
        f'from {STARTS} starts each (as many as begin within {SECONDS:g} s), iLQR from at least '
        '12, the classical controller, and the trained one. Times are CPU time; a unit that takes '
        f'more than {LONGEST:g} s of it is ended, and shown as failed.'
    )


def _command(options: Record) -> str:
    training = f'--minutes {options["minutes"]:g}' if options['train'] else '--no-train'
    own = f'--problems {options["problems"]} --seed {options["seed"]}'
    return f'trc exam --jobs 2 {own} {training}'


def _plans(exams: Iterable[Record]) -> str:
    heads = (
        *('exam', 'source', 'n_x, n_u, T, constraints', 'compiled [s]', 'J/J\\*', 'worst'),
        *('M/M\\*', 'wrong', 'violation', 'ms', 'trained: J/J\\*', 'wrong', 'passed'),
    )
    rows = []
    for exam in exams:
        found = marks(exam)
        ours, network = found.get('classical'), found.get('network')
        rows.append(
            [
                f'[{exam["name"]}](../../examples/exams/{exam["name"]}.py)',
                exam['source'],
                ', '.join(map(str, exam['sizes'])),
                _number(exam['compile'].get('seconds'), 2),
                *_figures(ours),
                *([_number(network.mean), f'{network.wrong:.0%}'] if network else [NONE, NONE]),
                'yes' if passes(exam) else '**no**',
            ]
        )
    note = (
        f'The classical controller plans cold, without a network, with {RANDOM} random starts '
        f'beside its own, {RANDOM_FREE} where the duration is free. *Wrong*: more than 2 % dearer '
        f'than the best known plan, or beyond a constraint by more than {FEASIBLE:g}. *Compiled*: '
        'CPU time from the file to the first plan, on a machine that knows the kernels.'
    )
    return table(heads, rows) + '\n\n' + note


def _figures(found: Marks | None) -> list[str]:
    if found is None:
        return [NONE] * 6
    return [
        *(_number(value) for value in (found.mean, found.worst, found.merit)),
        f'{found.wrong:.0%}',
        f'{found.violation:.1g}',
        _number(found.milliseconds, 1),
    ]


def _loops(exams: Iterable[Record]) -> str:
    heads = ('exam', 'ticks', 'cost over converged MPC', 'violation', 'ms a tick', 'trained: cost')
    rows = []
    for exam in exams:
        loop, network = exam.get('loop', {}), exam.get('network loop', {})
        if 'ratio' in loop:
            rows.append(
                [
                    exam['name'],
                    str(loop['ticks']),
                    _number(loop['ratio']),
                    f'{max(0.0, loop["violation"]):.1g}',
                    _number(loop['ms'], 2),
                    _number(network.get('cost', float('nan')) / loop['converged'])
                    if 'cost' in network
                    else NONE,
                ]
            )
    note = (
        'One flight of two horizons, at most 150 ticks, from the start of the source, on the '
        'model itself; exams of which one plan leads to the end are not flown. '
        'Converged MPC is the same controller with up to 100 sweeps in every tick. '
        'Where the reference runs ahead of the plant, the cost is the mean of J of all plans.'
    )
    return table(heads, rows) + '\n\n' + note


def _solvers(exams: Iterable[Record]) -> str:
    names = ('ipopt', 'fatrop', 'sweeps')
    heads = ['exam', 'classical [ms]']
    for name in ('IPOPT', 'fatrop', 'iLQR, many starts'):
        heads += [f'{name}: J/J\\*', 'wrong', 'ms']
    rows = []
    for exam in exams:
        found = marks(exam)
        row = [exam['name'], _number(found['classical'].milliseconds, 1)] if found else []
        for name in names if row else ():
            one = found.get(name)
            if one is None:
                row += [NONE, NONE, NONE]
            else:
                row += [_number(one.mean), f'{one.wrong:.0%}', _number(one.milliseconds, 0)]
        rows += [row] if row else []
    return table(heads, rows)


def _published(exams: Iterable[Record]) -> str:
    rows = [
        [exam['name'], f'{theirs:.6g}', f'{ours:.6g}']
        for exam in exams
        for theirs, ours in [exam.get('classical', {}).get('published', (None, None))]
        if theirs is not None
    ]
    if not rows:
        return ''
    return '## Beside the figures of the sources\n\n' + table(
        ('exam', 'published', 'here, from the same start'), rows
    )


def _trainings(exams: Iterable[Record], options: Record) -> str:
    rows = []
    for exam in exams:
        done = exam.get('training', {})
        if 'settings' in done:
            own = ', '.join(f'{name} {value}' for name, value in done['settings'].items())
            rows.append([exam['name'], _number(done['seconds'] / 60.0, 1), own])
        elif 'error' in done:
            rows.append([exam['name'], NONE, done['error']])
    if not rows:
        return ''
    note = (
        'A controller is trained where the classical one is not enough and several starts beat '
        'its first ones on more than 2 % of 50 problems, within '
        f'{options["minutes"]:g} minutes of CPU time: of the labels and steps of a new plant, as '
        'many as fit.'
    )
    return '## Trainings\n\n' + note + '\n\n' + table(('exam', 'CPU min', 'settings'), rows)


def _failures(exams: Iterable[Record]) -> str:
    lines = [f'- `{exam["name"]}`: {reason(exam)}' for exam in exams]
    return '\n'.join(lines) or 'Nothing.'


def _number(value: float | None, digits: int = 4) -> str:
    if value is None:
        return NONE
    return f'{value:.{digits}f}' if abs(value) < 1e3 else f'{value:.3g}'
