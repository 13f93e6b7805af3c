"""`trc info`: what a checkpoint holds, for people to read."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import yaml

from trc_core.checkpoint import Checkpoint, find_checkpoint, load_checkpoint
from trc_core.command_line import report_errors


def main(argv: Sequence[str] | None = None) -> None:
    """Shows the system, the model, the training and the figures of a checkpoint."""
    parser = argparse.ArgumentParser('trc info', description=main.__doc__)
    parser.add_argument('checkpoint', help='shipped name or path')
    arguments = parser.parse_args(argv)
    with report_errors(parser.prog):
        print(f'file: {find_checkpoint(arguments.checkpoint)}')
        print(describe(load_checkpoint(arguments.checkpoint)), end='')


def describe(checkpoint: Checkpoint) -> str:
    """The record as YAML."""
    weights = sum(
        tensor.size
        for name, tensor in checkpoint.tensors.items()
        if not name.startswith('representation.')
    )
    record = {
        'system': checkpoint.system.contract(),
        'coordinates': checkpoint.coordinates.record(),
        'weights': int(weights),
        'model': dict(checkpoint.model),
        'training': dict(checkpoint.training),
        'metrics': dict(checkpoint.metrics),
    }
    return yaml.safe_dump(record, sort_keys=False, default_flow_style=None)
