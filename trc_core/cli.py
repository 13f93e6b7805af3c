"""`trc VERB`: one table of verbs."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from typing import NamedTuple


class Verb(NamedTuple):
    """A command: where its `main(argv)` lives, what it does, what it needs."""

    module: str
    summary: str
    extra: str | None = None


VERBS = {
    'demo': Verb('trc_ros.lab.demo.command', 'fly the shipped systems over ROS 2', 'ros,demo'),
    'faults': Verb('trc_ros.lab.campaign.command', 'inject faults, judge what flies', 'ros,demo'),
    'record': Verb(
        'trc_ros.lab.record.command', 'record a running controller for a replay', 'ros,demo'
    ),
    'replay': Verb(
        'trc_ros.lab.replay.command', 'fly a bag again and compare the commands', 'ros,demo'
    ),
    'systems': Verb('trc_core.commands.systems', 'list what can be controlled'),
    'generate': Verb('trc_core.data.lqr_generator', 'make a dataset of optima', 'train'),
    'train': Verb('trc_core.commands.train', 'train a controller', 'train'),
    'finetune': Verb(
        'trc_core.finetuning.finetuner', 'tune a controller on plants that differ', 'train'
    ),
    'evaluate': Verb('trc_core.commands.evaluate', 'score a controller against IPOPT', 'train'),
    'experiment': Verb(
        'trc_core.lab.experiments.command', 'answer a question with figures', 'train'
    ),
    'exam': Verb('trc_core.lab.exam.command', 'solve problems that others published', 'train'),
    'report': Verb(
        'trc_core.lab.report.command', 'one HTML file about a run or a bag', 'train,demo'
    ),
    'warm-up': Verb('trc_core.commands.warm_up', 'compile controllers ahead of time'),
    'benchmark': Verb('trc_core.lab.benchmark.command', 'time a controller', 'benchmark'),
    'benchmark-loop': Verb(
        'trc_ros.lab.loop_benchmark.command', 'time the control loop over ROS 2', 'ros,demo'
    ),
    'benchmark-fleet': Verb(
        'trc_ros.lab.fleet_benchmark.command',
        'time one process that flies many robots',
        'ros,demo',
    ),
    'export': Verb('trc_core.commands.export', 'write a controller for ONNX Runtime', 'onnx'),
    'info': Verb('trc_core.commands.info', 'show what a checkpoint holds'),
}


def main(argv: Sequence[str] | None = None) -> None:
    """Runs a verb; without one, or with --help, lists them."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or arguments[0] in ('-h', '--help'):
        print(usage())
        return
    name, rest = arguments[0], arguments[1:]
    if name not in VERBS:
        print(f"trc: unknown command '{name}'; choose from {sorted(VERBS)}", file=sys.stderr)
        raise SystemExit(2)
    verb = VERBS[name]
    try:  # what a command needs is also imported where it is needed first
        importlib.import_module(verb.module).main(rest)
    except ModuleNotFoundError as error:
        if verb.extra is None or (error.name or '').startswith('trc_core'):
            raise
        print(
            f"trc {name}: needs '{error.name}'; install it with pip install 'trc[{verb.extra}]'",
            file=sys.stderr,
        )
        raise SystemExit(1) from None


def usage() -> str:
    """What `trc --help` prints."""
    width = 2 + max(map(len, VERBS))
    rows = [f'  {name:{width}}{verb.summary}' for name, verb in VERBS.items()]
    lines = ['usage: trc VERB [options]', '', 'verbs:', *rows, '', 'trc VERB --help tells more.']
    return '\n'.join(lines)


if __name__ == '__main__':
    main()
