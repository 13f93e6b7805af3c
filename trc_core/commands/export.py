"""`trc export`: the network as one file for ONNX Runtime."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from trc_core.checkpoint import Checkpoint, find_checkpoint, load_checkpoint
from trc_core.command_line import add_checkpoint, add_force, report_errors
from trc_core.exported_network import GRAPH_SUFFIX
from trc_core.planner.backends import export_network
from trc_core.systems.flags import add_system, system_of


def main(argv: Sequence[str] | None = None) -> None:
    """Writes a controller for ONNX Runtime, after comparing its plans with the original's."""
    parser = argparse.ArgumentParser('trc export', description=main.__doc__)
    add_checkpoint(parser, required=True)
    parser.add_argument('--output', type=Path, help='default: NAME.onnx, in this folder')
    parser.add_argument('--cycles', type=int, help="refinement cycles; default: the checkpoint's")
    add_system(parser, ': the plant, where it is neither shipped nor installed')
    add_force(parser)
    arguments = parser.parse_args(argv)
    with report_errors(parser.prog):
        checkpoint = load_checkpoint(arguments.checkpoint, system_of(arguments), arguments.force)
        if arguments.cycles is not None:
            checkpoint = with_cycles(checkpoint, arguments.cycles)
        stem = find_checkpoint(arguments.checkpoint).stem
        written = export_network(checkpoint, arguments.output or Path(f'{stem}{GRAPH_SUFFIX}'))
        print(
            f'{written.path}: {written.path.stat().st_size / 1e6:.2f} MB; controls differ from '
            f"those of the backend '{written.reference}' by at most {written.difference:.1e}"
        )


def with_cycles(checkpoint: Checkpoint, cycles: int) -> Checkpoint:
    """The same network with another number of refinement cycles of a plan.

    Raises:
        ValueError: if the number is negative.
    """
    if cycles < 0:
        raise ValueError(f'--cycles must not be negative, got {cycles}')
    name = 'H_cycles' if checkpoint.model['use_two_level'] else 'num_outer_cycles'
    return replace(checkpoint, model={**checkpoint.model, name: cycles})
