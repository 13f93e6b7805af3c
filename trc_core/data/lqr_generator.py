"""Generates datasets of optimal trajectories, on all cores, resumable at any moment.

    python -m trc_core.data.lqr_generator --num_samples 10000 --output_dir data/my_dataset

The work is cut into shards of fixed size with a random stream of their own, so the arrays do not
depend on the number of workers, nor on how often the command was interrupted.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from trc_core.command_line import report_errors
from trc_core.data.backends import BACKENDS, require
from trc_core.data.overview import draw, summary
from trc_core.data.recipe import Recipe
from trc_core.data.shards import joined, prepare, solve_shards
from trc_core.data.trajectories import (
    FILE,
    TrajectoryData,
    check_contents,
    load_arrays,
    read_metadata,
    save_arrays,
)
from trc_core.problem.accuracy import note, note_along
from trc_core.solvers.experts import AUTO, EXPERTS, suitable_expert
from trc_core.systems import System
from trc_core.systems.double_integrator import multi_axis, with_timing
from trc_core.systems.flags import add_system, system_of
from trc_core.systems.registry import parse_settings


def generate(
    recipe: Recipe, folder: str | Path, workers: int = -1, backend: str = 'loky'
) -> TrajectoryData:
    """Solves `recipe` and writes `folder/dataset.npz`; resumes what an earlier call left.

    Args:
        recipe: what to generate.
        folder: where; made if it does not exist.
        workers: processes; -1 uses all cores.
        backend: one of `BACKENDS`: 'loky' for this machine, 'ray' or 'dask' for a cluster.

    Returns:
        The dataset, freshly solved, or as it was when the folder already holds this recipe.

    Raises:
        ValueError: if the folder holds another dataset, too many states could not be solved, the
            solutions contradict the system, or the backend is not installed.
        OSError: if the folder cannot be written.
    """
    # what an earlier call left
    require(backend)
    folder = Path(folder)
    kept = folder / f'.shards-{recipe.digest()}'
    data = _finished(recipe, folder)
    # solve what is missing, check, write
    if data is None:
        seconds = prepare(recipe)
        try:
            kept.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OSError(f"cannot write to '{folder}': {error.strerror}") from error
        solve_shards(recipe, kept, workers, backend, seconds)
        data = joined(recipe, kept)
        _require_usable(data, kept)
        draw(data, folder / 'overview.png')
        save_arrays(folder / FILE, data)
    shutil.rmtree(kept, ignore_errors=True)
    return data


def _require_usable(data: TrajectoryData, kept: Path) -> None:
    """Refuses a dataset that could not be read back, while its shards are still there."""
    try:
        check_contents(data)
    except ValueError as error:
        raise ValueError(
            f"the samples in '{kept}' make no dataset: {error}; delete that folder to solve "
            f'them again'
        ) from error


def _finished(recipe: Recipe, folder: Path) -> TrajectoryData | None:
    """The dataset in `folder` if it was made by `recipe`; None if there is none."""
    if not (folder / FILE).exists():
        return None
    record, metadata = recipe.record(), read_metadata(folder / FILE)
    different = [key for key in record if metadata.get(key) != record[key]]
    if different:
        raise ValueError(
            f"'{folder / FILE}' holds another dataset (it differs in {different}); "
            f'choose another folder or delete it'
        )
    return load_arrays(folder, system=recipe.system)


def choose_system(
    given: System | None,
    state_dim: int | None,
    control_dim: int | None,
    time_horizon: float | None,
    num_steps: int | None,
) -> System:
    """System that the flags describe; if none is given, a double integrator of these dimensions.

    Raises:
        ValueError: if its dimensions are not those asked for.
    """
    system = given or multi_axis(1 if control_dim is None else control_dim)
    wanted = (state_dim or system.n_x, control_dim or system.n_u)
    if wanted != (system.n_x, system.n_u):
        raise ValueError(
            f'--state_dim {wanted[0]} --control_dim {wanted[1]} does not fit '
            f"'{system.name}', which has {system.n_x} states and {system.n_u} controls"
            + ('' if given else '; give twice as many states as controls, or --system')
        )
    if time_horizon is None and num_steps is None:
        return system
    if system.final_time is not None and time_horizon is not None:
        raise ValueError(
            f"--time_horizon goes with a fixed duration, and that of '{system.name}' is free "
            f'(final_time {tuple(system.final_time)}); leave it out'
        )
    if system.final_time is not None and num_steps is not None:
        return with_timing(system, system.dt * num_steps, num_steps)
    seconds = system.dt * system.horizon if time_horizon is None else time_horizon
    return with_timing(system, seconds, system.horizon if num_steps is None else num_steps)


def build_parser() -> argparse.ArgumentParser:
    """The command line of the generator."""
    parser = argparse.ArgumentParser(
        prog='trc generate',
        description='Generates a dataset of optimal trajectories (resumes after an interruption).',
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    # the problem and its solver
    add_system(parser, '; without it, a double integrator')
    add(
        '--set',
        action='append',
        default=[],
        metavar='NAME=VALUE',
        help='a plant parameter other than the usual, like mu=0.7 (may be repeated)',
    )
    add(
        '--expert',
        default=AUTO,
        choices=[AUTO, *EXPERTS],
        help='; '.join(f'{name}: {expert.summary}' for name, expert in EXPERTS.items())
        + f'; {AUTO}: ipddp where the duration is free, search where there are constraints, '
        'multistart where several starts find better plans, else nlp',
    )
    add('--starts', type=int, help='starts per state of nlp (default: 1) and multistart (12)')
    # the dataset
    add('--num_samples', type=int, default=10000, help='number of trajectories')
    add('--output_dir', '--output', required=True, help=f'folder for {FILE} and overview.png')
    add('--state_dim', type=int, help='number of states (default: those of the system)')
    add('--control_dim', type=int, help='number of controls (default: those of the system)')
    add('--time_horizon', type=float, help="seconds planned ahead (default: the system's)")
    add('--num_steps', type=int, help="control steps in the horizon (default: the system's)")
    # the work
    add('--seed', type=int, default=0, help='same seed, same arrays, for any number of workers')
    add('--workers', type=int, default=-1, help='processes; -1 uses all cores')
    add(
        '--backend',
        default='loky',
        choices=list(BACKENDS),
        help='where the workers are: here, or on the machines of a Ray or Dask cluster '
        '(RAY_ADDRESS, DASK_SCHEDULER_ADDRESS)',
    )
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the command line; a mistake of the user or Ctrl-C ends in `SystemExit`."""
    flags = build_parser().parse_args(argv)
    with report_errors('trc generate'):
        system = choose_system(
            system_of(flags),
            flags.state_dim,
            flags.control_dim,
            flags.time_horizon,
            flags.num_steps,
        )
        system = system.with_parameters(**parse_settings(flags.set))
        require(flags.backend)
        if note(system):
            print(note(system), flush=True)
        expert = flags.expert
        if expert == AUTO:
            expert, reason = suitable_expert(system)
            print(reason)
        recipe = Recipe(system, expert, flags.num_samples, flags.seed, flags.starts)
        try:
            data = generate(recipe, flags.output_dir, flags.workers, flags.backend)
        except KeyboardInterrupt:
            print('\nfinished samples are kept; the same command resumes', file=sys.stderr)
            raise
        print(summary(data))
        along = note_along(system, data.states, data.controls)
        if along and data.duration is None:
            print(along)
        print(f'written to {Path(flags.output_dir) / FILE}')


if __name__ == '__main__':
    main()
