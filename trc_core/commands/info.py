"""`trc info`: the contents of a checkpoint, for people to read."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from trc_core.checkpoint import (
    CORRECTION,
    DAMAGES,
    find_checkpoint,
    load_checkpoint,
    naming,
    read_checkpoint,
)
from trc_core.command_line import add_checkpoint, add_force, report_errors
from trc_core.systems.flags import add_system, system_of
from trc_core.systems.registry import system_of_record


def main(argv: Sequence[str] | None = None) -> None:
    """Shows the system, the model, the training and the figures of a checkpoint."""
    parser = argparse.ArgumentParser('trc info', description=main.__doc__)
    add_checkpoint(parser, required=True)
    add_system(parser, ': refuse a checkpoint that is not for this plant')
    add_force(parser)
    arguments = parser.parse_args(argv)
    with report_errors(parser.prog):
        path = find_checkpoint(arguments.checkpoint)
        record, tensors = read_checkpoint(path)
        system = system_of(arguments)
        if system is not None:
            load_checkpoint(path, system, arguments.force)
        else:
            _compare_with_ours(record['system'], parser.prog)
        with naming(path):
            text = describe(record, tensors)
        print(f'file: {path}')
        print(text, end='')


def describe(record: Mapping[str, Any], tensors: Mapping[str, Any]) -> str:
    """YAML of what `read_checkpoint` gave, which takes no system."""
    weights = sum(
        tensor.size
        for name, tensor in tensors.items()
        if not name.startswith(('representation.', CORRECTION))
    )
    system = dict(record['system'])
    if 'dynamics' in system:
        system['dynamics'] = f'{len(system["dynamics"]["instructions"])} instructions'
    shown = {
        'system': system,
        'coordinates': record['coordinates'],
        'weights': int(weights),
        'model': record['model'],
        'training': record['training'],
        'metrics': record['metrics'],
    }
    return yaml.safe_dump(shown, sort_keys=False, default_flow_style=None)


def _compare_with_ours(contract: Mapping[str, Any], program: str) -> None:
    """Says where the system is unknown here, or another: the file can be read all the same."""
    try:
        system_of_record(contract)
    except DAMAGES as error:
        reason = ' '.join(str(error).split())
        print(
            f'{program}: no system here fits this file (--system names one): {reason:.500}',
            file=sys.stderr,
        )
