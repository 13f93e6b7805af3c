"""Checkpoints: one self-describing file of weights and everything that is needed to use them.

A checkpoint is a safetensors file (no code, no pickle) whose metadata holds one JSON record.
"""

from __future__ import annotations

import json
import os
import textwrap
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from trc_core.exported_network import GRAPH_SUFFIX, RECORD, ExportedNetwork
from trc_core.numerics.representation import Coordinates, Representation
from trc_core.problem.record import system_record
from trc_core.problem.system import System
from trc_core.systems.registry import system_of_record

FORMAT = 3  # 2 held no equations
READABLE = (2, 3)
PRETRAINED = Path(__file__).parent / 'pretrained'
KEYS = ('system', 'model', 'coordinates', 'training', 'metrics')  # of the record
CORRECTION = 'correction.'  # begins the names of the tensors that fine-tuning adds
LONGEST_REASON = 500  # letters of what is wrong with a file


@dataclass(frozen=True)
class Checkpoint:
    """Contents of a checkpoint file."""

    tensors: Mapping[str, NDArray[Any]]
    """The model's state_dict."""
    system: System
    model: Mapping[str, Any]
    """Fields of `TRCConfig`."""
    coordinates: Coordinates
    """The plan representation; its numbers are among the tensors."""
    training: Mapping[str, Any] = field(default_factory=dict)
    """Record of the training: command, seed, seconds, config."""
    metrics: Mapping[str, Any] = field(default_factory=dict)
    correction: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    """Tensors added by fine-tuning (`correction.*`); empty without it."""
    graph: Path | None = None
    """The ONNX file that it was read from; the weights are in there, `tensors` has the rest."""

    @classmethod
    def classical(cls, system: System) -> Checkpoint:
        """A checkpoint without a network; `Controller` then plans by iLQR sweeps."""
        coordinates = Coordinates('open_loop')
        return cls(coordinates.numbers(system).tensors(), system, {}, coordinates)

    @property
    def is_classical(self) -> bool:
        """Whether there is no network."""
        return not self.model

    @property
    def representation(self) -> Representation:
        """The numbers of the plan representation."""
        return Representation.from_tensors(self.tensors)

    @property
    def record(self) -> dict[str, Any]:
        """All but the tensors, as JSON values."""
        return {
            'format': FORMAT,
            'system': system_record(self.system),
            'model': dict(self.model),
            'coordinates': self.coordinates.record(),
            'training': dict(self.training),
            'metrics': dict(self.metrics),
        }

    def without_correction(self) -> Checkpoint:
        """The checkpoint before it was fine-tuned."""
        return replace(self, correction={})

    def with_parameters(self, parameters: Mapping[str, float]) -> Checkpoint:
        """This network for a plant with other physical parameters.

        The numbers of the representation are computed anew, among them the parameters that the
        network takes as inputs.

        Raises:
            ValueError: if the plant has no such parameter.
        """
        system = self.system.with_parameters(**parameters)
        tensors = self.coordinates.numbers(system).tensors()
        return replace(self, system=system, tensors={**self.tensors, **tensors})


def save_checkpoint(path: str | Path, checkpoint: Checkpoint) -> Path:
    """Writes `checkpoint` to `path`, at once or not at all.

    Raises:
        ValueError: if it was read from an exported graph, which holds the weights, or if `path`
            is the name of one.
        OSError: if the folder cannot be written.
    """
    path = Path(path)
    if checkpoint.graph is not None or path.suffix == GRAPH_SUFFIX:
        raise ValueError(
            f"cannot save '{checkpoint.graph or path}': it is a graph; save the .safetensors "
            'file that it is exported from'
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f'.{path.name}.{os.getpid()}.tmp')
    held = {**checkpoint.tensors, **checkpoint.correction}
    tensors = {name: np.array(value, order='C') for name, value in held.items()}
    try:
        save_file(tensors, temporary, metadata={RECORD: json.dumps(checkpoint.record)})
        temporary.chmod(0o644)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return path


def load_checkpoint(name_or_path: str | Path, system: System | None = None) -> Checkpoint:
    """Reads a shipped checkpoint by name, or a file (also one of `trc export`) by path.

    Args:
        name_or_path: a shipped name, or the path of a file.
        system: the plant that it was trained for, compared with the one in the file; needed for
            files of version 1, which hold no equations, if it has no name here.

    Raises:
        FileNotFoundError: if there is no such checkpoint; the message lists the shipped ones.
        ValueError: if the file is damaged, or belongs to a system that differs from ours.
    """
    path = find_checkpoint(name_or_path)
    record, tensors = read_checkpoint(path)
    with _named(path):
        system = system_of_record(record['system'], system)
        _require_fit(system, tensors)
        correction = {key: a for key, a in tensors.items() if key.startswith(CORRECTION)}
        return Checkpoint(
            {key: a for key, a in tensors.items() if key not in correction},
            system,
            record['model'],
            Coordinates.from_record(record['coordinates']),
            record['training'],
            record['metrics'],
            correction,
            path if path.suffix == GRAPH_SUFFIX else None,
        )


def read_checkpoint(path: Path) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """The record and the tensors as they are in a file, whether its system is known here or not.

    Raises:
        ValueError: if the file is damaged, or of another format.
    """
    with _named(path):
        record, tensors = (_read_graph if path.suffix == GRAPH_SUFFIX else _read)(path)
        if record['format'] not in READABLE:
            raise ValueError(f'format {record["format"]}, this version reads {FORMAT}')
        return {key: record[key] for key in KEYS}, tensors


def _require_fit(system: System, tensors: Mapping[str, NDArray[Any]]) -> None:
    """Compares the numbers of the plans with a system's sizes: kernels check no index.

    Raises:
        ValueError: if they are another system's; the message names the tensor.
    """
    numbers = Representation.from_tensors(tensors)
    T, n_x, n_u = system.horizon, system.n_x, system.n_u
    shapes = {
        'K': (T, n_u, n_x),
        'L': (T, n_u, n_u),
        'K_start': (max(len(numbers.K_start), 1), T, n_u, n_x),
        **dict.fromkeys(('G', 'W', 'C', 'D', 'S'), (n_x, n_x)),
    }
    for name, expected in shapes.items():
        shape = getattr(numbers, name).shape
        if shape != expected:
            raise ValueError(
                f"representation.{name} has shape {shape}, '{system.name}' needs {expected}"
            )
    places = [*numbers.angles, max(numbers.mirror, 0)]
    if not all(0 <= place < n_x for place in places):
        raise ValueError(f"representation turns the states {places}, '{system.name}' has {n_x}")


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Turns every error about the contents of a file into one that names the file."""
    try:
        yield
    except (SafetensorError, AttributeError, LookupError, TypeError, ValueError) as error:
        reason = textwrap.shorten(str(error), LONGEST_REASON, placeholder=' ...')
        raise ValueError(f"'{path}' is not a usable trc checkpoint: {reason}") from error


def _read(path: Path) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """The record and the tensors of a safetensors file."""
    with safe_open(path, framework='numpy') as file:
        record = json.loads((file.metadata() or {})[RECORD])
        return record, {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118


def _read_graph(path: Path) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """The record and the tensors of an exported graph."""
    network = ExportedNetwork(path)
    return network.record, network.tensors


def find_checkpoint(name_or_path: str | Path) -> Path:
    """The file of a shipped checkpoint's name or of a path.

    Raises:
        FileNotFoundError: if there is none; the message lists the shipped names.
    """
    for path in (Path(name_or_path), PRETRAINED / f'{name_or_path}.safetensors'):
        if path.is_file():
            return path
    raise FileNotFoundError(
        f"no checkpoint '{name_or_path}': give the path of a .safetensors or .onnx file "
        f'or one of {shipped_checkpoints()}'
    )


def shipped_checkpoints() -> list[str]:
    """The names of the checkpoints that ship with `trc`."""
    return sorted(path.stem for path in PRETRAINED.glob('*.safetensors'))
