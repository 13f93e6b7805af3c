"""Trajectories on disk: one `.npz` without pickle, checked against its system when loaded."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from trc_core.data.durations import beyond_limits, steps_and_cost
from trc_core.numerics.batch import BatchStep
from trc_core.numerics.cost import trajectory_cost
from trc_core.problem.record import system_record
from trc_core.problem.system import Array, System
from trc_core.systems.registry import system_of_record
from trc_core.whole_files import DAMAGES, write_arrays

FILE = 'dataset.npz'
ARRAYS = ('current_state', 'target_state', 'controls', 'states', 'cost')
PARAMETERS = 'parameters'  # the key of those, in files of problems that differ in them
DURATION = 'duration'  # the key of those, in files of problems that leave it free
REFERENCE_KEYS = {
    # the keys of the published reference implementation's files
    'current_state': 'initial_states',
    'target_state': 'target_states',
    'controls': 'control_sequences',
    'states': 'state_trajectories',
}
BOUND_TOLERANCE = 1e-9
STEP_TOLERANCE = 1e-5  # relative; loose enough for arrays that were stored in single precision
COST_TOLERANCE = 1e-4


@dataclass(frozen=True)
class TrajectoryData:
    """N trajectories of one system, float64, in physical units."""

    current_state: Array
    """(N, n_x) initial states."""
    target_state: Array
    """(N, n_x) goals."""
    controls: Array
    """(N, T, n_u)."""
    states: Array
    """(N, T + 1, n_x)."""
    cost: Array
    """(N,) J of each trajectory."""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    """`system` (its contract), and how the trajectories were made."""
    plant: System | None = None
    """Plant whose dynamics to use; by default the system that the metadata names."""
    parameters: Array | None = None
    """(N, n_p) in the order of `system.parameters`; None: they are the system's own."""
    duration: Array | None = None
    """(N,) seconds of each trajectory, where the system leaves them free; None: T dt."""

    def __len__(self) -> int:
        return len(self.cost)

    @cached_property
    def keys(self) -> tuple[str, ...]:
        """The names of its arrays."""
        more = (key for key in (PARAMETERS, DURATION) if getattr(self, key) is not None)
        return (*ARRAYS, *more)

    @cached_property
    def system(self) -> System:
        """The system that the metadata names, with the metadata's numbers.

        Raises:
            ValueError: if it is not known here.
        """
        return system_of_record(self.metadata['system'], self.plant)


def find_dataset(path: str | Path, system: str = '') -> Path:
    """The dataset's file, from the file, its folder, or the folder's name with `.npz` behind.

    Args:
        path: one of these.
        system: the plant that a new dataset would be of; '' if unknown.

    Raises:
        FileNotFoundError: if none of these exists.
    """
    path = Path(path)
    folder = path.with_suffix('') if path.suffix == '.npz' else path
    for candidate in (path, path / FILE, folder / FILE):
        if candidate.is_file():
            return candidate
    of_system = ['--system', system] if system else []
    command = shlex.join(['trc', 'generate', *of_system, '--output', str(folder)])
    raise FileNotFoundError(f"no dataset at '{path}'; make one with `{command}`")


def save_arrays(path: str | Path, data: TrajectoryData) -> Path:
    """Writes `data` to the file `path`, at once or not at all."""
    path = Path(path)
    arrays = {key: getattr(data, key) for key in data.keys}
    write_arrays(path, metadata=np.array(json.dumps(dict(data.metadata))), **arrays)
    return path


def load_arrays(path: str | Path, system: System | None = None) -> TrajectoryData:
    """Reads a dataset and checks it against its system: bounds, states, costs and every step.

    Files of the reference implementation (`REFERENCE_KEYS`) are read too. They name no system,
    so `system` is needed; their `costs` are of another objective, so J is computed.

    Args:
        path: the file, its folder, or the folder's name with `.npz` behind.
        system: the plant, where the file names none; else its functions must be the file's.

    Raises:
        FileNotFoundError: if there is no such dataset.
        ValueError: if it is damaged or contradicts its system; the message names the file, and
            the key with the shape found and expected, or the first sample that is wrong.
    """
    file = find_dataset(path)
    try:
        with np.load(file, allow_pickle=False) as archive:
            contents = {key: archive[key] for key in archive.files}
        is_reference = 'metadata' not in contents and REFERENCE_KEYS['current_state'] in contents
        data = (_from_reference if is_reference else _from_ours)(contents, system)
        check_contents(data)
    except (TypeError, *DAMAGES) as error:
        raise ValueError(f"'{file}' is not a usable dataset: {error}") from error
    return data


def read_metadata(file: Path) -> Mapping[str, Any]:
    """The metadata of a dataset's file, without looking at its arrays.

    Raises:
        ValueError: if the file is damaged or no dataset.
    """
    try:
        with np.load(file, allow_pickle=False) as archive:
            metadata: dict[str, Any] = json.loads(str(archive['metadata']))
    except DAMAGES as error:
        raise ValueError(f"'{file}' is not a usable dataset: {error}") from error
    return metadata


def _from_ours(contents: Mapping[str, Any], system: System | None) -> TrajectoryData:
    _require(contents, (*ARRAYS, 'metadata'))
    keys = (*ARRAYS, *(key for key in (PARAMETERS, DURATION) if key in contents))
    arrays = {key: np.asarray(contents[key], dtype=np.float64) for key in keys}
    data = TrajectoryData(**arrays, metadata=json.loads(str(contents['metadata'])), plant=system)
    _check_shapes(data)
    return data


def _from_reference(contents: Mapping[str, Any], system: System | None) -> TrajectoryData:
    if system is None:
        raise ValueError('it names no system; load it with load_arrays(path, system=...)')
    _require(contents, tuple(REFERENCE_KEYS.values()))
    arrays = {
        ours: np.asarray(contents[theirs], dtype=np.float64)
        for ours, theirs in REFERENCE_KEYS.items()
    }
    metadata = {'system': system_record(system), 'expert': 'reference', 'rejected': []}
    unknown = np.zeros(len(arrays['current_state']))
    data = TrajectoryData(**arrays, cost=unknown, metadata=metadata, plant=system)
    _check_shapes(data)
    J = trajectory_cost(system, data.states, data.controls, data.target_state[:, None])
    return replace(data, cost=J)


def _require(contents: Mapping[str, Any], keys: tuple[str, ...]) -> None:
    missing = [key for key in keys if key not in contents]
    if missing:
        raise ValueError(f'it lacks the keys {missing}; it has {sorted(contents)}')


def _check_shapes(data: TrajectoryData) -> None:
    system, N = data.system, data.current_state.shape[0]
    T, n_x, n_u = system.horizon, system.n_x, system.n_u
    expected = ((N, n_x), (N, n_x), (N, T, n_u), (N, T + 1, n_x), (N,))
    for key, shape in zip(ARRAYS, expected, strict=True):
        found = getattr(data, key).shape
        if found != shape:
            raise ValueError(f"'{key}' has shape {found}, expected {shape} for '{system.name}'")
    if data.parameters is not None and data.parameters.shape != (N, len(system.p)):
        raise ValueError(
            f"'{PARAMETERS}' has shape {data.parameters.shape}, expected {(N, len(system.p))} "
            f"for '{system.name}'"
        )
    free, seconds = system.final_time is not None, data.duration
    if free and (seconds is None or seconds.shape != (N,)):
        found = 'no array' if seconds is None else f'the shape {seconds.shape}'
        raise ValueError(
            f"'{DURATION}' has {found}, expected {(N,)}: the duration of '{system.name}' is free"
        )
    if seconds is not None and not free:
        raise ValueError(f"it holds '{DURATION}', but that of '{system.name}' is fixed")
    if N == 0:
        raise ValueError('it holds no samples')


def check_contents(data: TrajectoryData) -> None:
    """Holds every sample to its system: bounds, start, every step of the dynamics, and J.

    Raises:
        ValueError: at the first that is broken; the message names a sample that breaks it.
    """
    system = data.system
    for key in data.keys:
        values = getattr(data, key).reshape(len(data), -1)
        _reject(~np.isfinite(values).all(1), f"'{key}' is not finite")
    beyond = np.maximum(system.u_min - data.controls, data.controls - system.u_max)
    _reject((beyond > BOUND_TOLERANCE).any((1, 2)), "'controls' leave the bounds")
    for what, wrong in beyond_limits(data).items() if data.duration is not None else ():
        _reject(wrong, what)
    start = data.states[:, 0] - data.current_state
    scale = 1.0 + np.abs(data.states).max((1, 2))
    _reject(
        np.abs(start).max(1) > STEP_TOLERANCE * scale, "'states' do not start at current_state"
    )
    _reject(
        step_defects(data).max(1) > STEP_TOLERANCE * scale,
        f"'states' do not follow the dynamics of '{system.name}'",
        '; if the plant has changed, generate a dataset of it in another folder',
    )
    J = costs(data)
    _reject(np.abs(J - data.cost) > COST_TOLERANCE * (1.0 + np.abs(J)), "'cost' is not J")


def costs(data: TrajectoryData) -> Array:
    """J (N,) of every trajectory, from its states and controls."""
    system, goal, p = data.system, data.target_state, data.parameters
    if data.duration is not None:
        return steps_and_cost(data)[1]
    if p is None:
        found: Array = trajectory_cost(system, data.states, data.controls, goal[:, None])
        return found
    trim = np.repeat(system.trims(goal, p)[:, None], system.horizon, 1)
    columns = list(p.T[..., None])
    J: Array = trajectory_cost(
        system, data.states, data.controls, goal[:, None], p=columns, trim=trim
    )
    return J


def _reject(wrong: Any, what: str, remedy: str = '') -> None:
    if wrong.any():
        first, count = int(wrong.argmax()), int(wrong.sum())
        raise ValueError(f'{what} in sample {first} ({count} in all){remedy}')


def step_defects(data: TrajectoryData) -> Array:
    """(N, T) largest component of |x_{t+1} - step(x_t, u_t)|."""
    system, (N, T, n_u) = data.system, data.controls.shape
    if data.duration is not None:
        defects: Array = np.abs(data.states[:, 1:] - steps_and_cost(data)[0]).max(-1)
        return defects
    x0 = np.ascontiguousarray(data.states[:, :-1]).reshape(N * T, -1)
    p = None if data.parameters is None else np.repeat(data.parameters, T, 0)
    stepped = BatchStep(system)(x0, data.controls.reshape(N * T, n_u), p).reshape(N, T, -1)
    return np.abs(data.states[:, 1:] - stepped).max(-1)
