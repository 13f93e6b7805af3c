"""Generates datasets of optimal trajectories, on all cores, resumable at any moment.

    python -m trc_core.data.lqr_generator --num_samples 10000 --output_dir data/my_dataset

The work is cut into shards of fixed size with a random stream of their own, so the arrays do not
depend on the number of workers, nor on how often the command was interrupted.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from trc_core.command_line import report_errors
from trc_core.data.overview import draw, summary
from trc_core.data.trajectories import (
    ARRAYS,
    FILE,
    TrajectoryData,
    load_arrays,
    save_arrays,
    write_npz,
)
from trc_core.plan import Plan
from trc_core.solvers import ilqr, lqr, nlp
from trc_core.systems import SYSTEMS, System, get_system
from trc_core.systems.double_integrator import multi_axis, with_timing

EXPERTS: dict[str, Callable[..., Plan]] = {
    'nlp': nlp.solve,
    'ilqr': ilqr.solve,
    'lqr': lqr.solve,
}
SHARD = 50
REJECTIONS = 10  # give up when a shard rejects this many times its own size


@dataclass(frozen=True)
class Recipe:
    """Everything that determines the arrays of a dataset."""

    system: System
    expert: str = 'nlp'
    num_samples: int = 10000
    seed: int = 0

    def __post_init__(self) -> None:
        if self.expert not in EXPERTS:
            raise ValueError(f"unknown expert '{self.expert}'; choose from {list(EXPERTS)}")
        if self.num_samples < 1 or self.seed < 0:
            raise ValueError('num_samples must be positive and seed not negative')

    def record(self) -> dict[str, Any]:
        """The recipe as JSON values."""
        return {
            'system': self.system.contract(),
            'expert': self.expert,
            'num_samples': self.num_samples,
            'seed': self.seed,
        }

    def shards(self) -> Iterator[tuple[int, int]]:
        """(index, number of samples) of every shard."""
        for index, first in enumerate(range(0, self.num_samples, SHARD)):
            yield index, min(SHARD, self.num_samples - first)


def generate(recipe: Recipe, folder: str | Path, workers: int = -1) -> TrajectoryData:
    """Solves `recipe` and writes `folder/dataset.npz`; resumes what an earlier call left.

    Args:
        recipe: what to generate.
        folder: where; made if it does not exist.
        workers: processes; -1 uses all cores.

    Returns:
        The dataset, freshly solved, or as it was when the folder already holds this recipe.

    Raises:
        ValueError: if the folder holds another dataset, or too many states could not be solved.
        OSError: if the folder cannot be written.
    """
    folder = Path(folder)
    kept = folder / f'.shards-{_digest(recipe)}'
    data = _finished(recipe, folder)
    if data is None:
        try:
            kept.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OSError(f"cannot write to '{folder}': {error.strerror}") from error
        _solve_shards(recipe, kept, workers)
        data = _joined(recipe, kept)
        draw(data, folder / 'overview.png')
        save_arrays(folder / FILE, data)
    shutil.rmtree(kept, ignore_errors=True)
    return data


def _finished(recipe: Recipe, folder: Path) -> TrajectoryData | None:
    """The dataset in `folder` if it was made by `recipe`; None if there is none."""
    if not (folder / FILE).exists():
        return None
    data = load_arrays(folder)
    record = json.loads(json.dumps(recipe.record()))
    different = [key for key in record if data.metadata.get(key) != record[key]]
    if different:
        raise ValueError(
            f"'{folder / FILE}' holds another dataset (it differs in {different}); "
            f'choose another folder or delete it'
        )
    return data


def _digest(recipe: Recipe) -> str:
    return hashlib.sha256(json.dumps([recipe.record(), SHARD]).encode()).hexdigest()[:12]


def _shard_file(kept: Path, index: int) -> Path:
    return kept / f'{index:06d}.npz'


def _solve_shards(recipe: Recipe, kept: Path, workers: int) -> None:
    from joblib import Parallel, delayed, effective_n_jobs
    from tqdm import tqdm

    missing = [(i, n) for i, n in recipe.shards() if not _shard_file(kept, i).exists()]
    to_do = sum(n for _, n in missing)
    if missing:  # compile here, once; the workers find the code in the cache
        (x0,), (goal,) = recipe.system.sample(np.random.default_rng(recipe.seed), 1)
        EXPERTS[recipe.expert](recipe.system, x0, goal)
    parallel = effective_n_jobs(workers) > 1
    solved = Parallel(n_jobs=workers, return_as='generator_unordered')(
        delayed(_solve_shard)(recipe, i, n, _shard_file(kept, i), parallel) for i, n in missing
    )
    with tqdm(
        total=recipe.num_samples,
        initial=recipe.num_samples - to_do,
        unit='sample',
        desc=f'{recipe.system.name} by {recipe.expert}',
    ) as bar:
        for n in solved:
            bar.update(n)


def _solve_shard(recipe: Recipe, index: int, n: int, path: Path, parallel: bool) -> int:
    """Solves shard `index` and writes it to `path`; returns its number of samples."""
    if parallel:
        # Ctrl-C reaches the whole process group; the parent alone decides how to stop.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    system, solve = recipe.system, EXPERTS[recipe.expert]
    rng = np.random.default_rng([recipe.seed, index])
    samples: list[tuple[Any, ...]] = []
    rejected: list[Any] = []
    while len(samples) < n:
        (x0,), (goal,) = system.sample(rng, 1)
        plan = solve(system, x0, goal)
        if plan.converged:
            samples.append((x0, goal, plan.controls, plan.states, plan.cost))
            continue
        rejected.append((x0, goal))
        if len(rejected) > REJECTIONS * n:
            raise ValueError(
                f"the expert '{recipe.expert}' solved only {len(samples)} of "
                f"{len(samples) + len(rejected)} states of '{system.name}'"
            )
    columns = zip(*samples, strict=True)
    arrays = {key: np.array(column) for key, column in zip(ARRAYS, columns, strict=True)}
    write_npz(path, rejected=np.array(rejected).reshape(-1, 2, system.n_x), **arrays)
    return n


def _joined(recipe: Recipe, kept: Path) -> TrajectoryData:
    shards: list[dict[str, Any]] = []
    for index, _ in recipe.shards():
        with np.load(_shard_file(kept, index), allow_pickle=False) as shard:
            shards.append(dict(shard))
    arrays = {key: np.concatenate([shard[key] for shard in shards]) for key in ARRAYS}
    rejected = np.concatenate([shard['rejected'] for shard in shards]).tolist()
    metadata = {
        **recipe.record(),
        'drawn': recipe.num_samples + len(rejected),
        'rejected': [{'current_state': x0, 'target_state': goal} for x0, goal in rejected],
    }
    return TrajectoryData(**arrays, metadata=metadata)


def choose_system(
    name: str | None,
    state_dim: int | None,
    control_dim: int | None,
    time_horizon: float | None,
    num_steps: int | None,
) -> System:
    """The system that the flags mean; without a name, a double integrator of these dimensions.

    Raises:
        ValueError: if the system is unknown or its dimensions are not those asked for.
    """
    if name is None:
        control_dim = 1 if control_dim is None else control_dim
        system = multi_axis(control_dim)
    else:
        system = get_system(name)
    wanted = (state_dim or system.n_x, control_dim or system.n_u)
    if wanted != (system.n_x, system.n_u):
        raise ValueError(
            f'--state_dim {wanted[0]} --control_dim {wanted[1]} does not fit '
            f"'{system.name}', which has {system.n_x} states and {system.n_u} controls"
            + ('' if name else '; give twice as many states as controls, or --system')
        )
    if time_horizon is None and num_steps is None:
        return system
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
    add(
        '--system', help=f'one of {sorted(SYSTEMS)}; without it, a double integrator', default=None
    )
    add(
        '--expert',
        default='nlp',
        choices=list(EXPERTS),
        help='nlp: the optimum inside the bounds by IPOPT; ilqr: the same, faster, by iLQR run to '
        'convergence; lqr: clipped LQR, which is NOT optimal where a bound is active or the '
        'plant is nonlinear',
    )
    add('--num_samples', type=int, default=10000, help='number of trajectories')
    add('--output_dir', '--output', required=True, help=f'folder for {FILE} and overview.png')
    add('--state_dim', type=int, help='number of states (default: those of the system)')
    add('--control_dim', type=int, help='number of controls (default: those of the system)')
    add('--time_horizon', type=float, help="seconds planned ahead (default: the system's)")
    add('--num_steps', type=int, help="control steps in the horizon (default: the system's)")
    add('--seed', type=int, default=0, help='same seed, same arrays, for any number of workers')
    add('--workers', type=int, default=-1, help='processes; -1 uses all cores')
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the command line; a mistake of the user or Ctrl-C ends in `SystemExit`."""
    flags = build_parser().parse_args(argv)
    with report_errors('trc generate'):
        system = choose_system(
            flags.system,
            flags.state_dim,
            flags.control_dim,
            flags.time_horizon,
            flags.num_steps,
        )
        recipe = Recipe(system, flags.expert, flags.num_samples, flags.seed)
        try:
            data = generate(recipe, flags.output_dir, flags.workers)
        except KeyboardInterrupt:
            print('\nfinished samples are kept; the same command resumes', file=sys.stderr)
            raise
        print(summary(data))
        print(f'written to {Path(flags.output_dir) / FILE}')


if __name__ == '__main__':
    main()
