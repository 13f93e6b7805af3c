"""Checkpoints: one self-describing file of weights and everything that is needed to use them.

A checkpoint is a safetensors file (no code, no pickle) whose metadata holds one JSON record.
"""

from __future__ import annotations

import hashlib
import json
import textwrap
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from trc_core.checkpoint_tensors import CORRECTION, REPRESENTATION, require_tensors
from trc_core.exported_network import GRAPH_SUFFIX, RECORD, ExportedNetwork
from trc_core.network_config import TRCConfig
from trc_core.numerics.classical import LADDER
from trc_core.numerics.representation import DESCENT, Coordinates, Representation
from trc_core.problem.input_gains import with_input_gains
from trc_core.problem.record import system_record
from trc_core.problem.softened import softened
from trc_core.problem.system import System
from trc_core.problem.weighting import with_values
from trc_core.systems.registry import system_of_record
from trc_core.whole_files import write_whole

FORMAT = 3  # 2 held no equations
READABLE = (2, 3)
PRETRAINED = Path(__file__).parent / 'pretrained'
KEYS = ('system', 'model', 'coordinates', 'training', 'metrics')  # of the record
DAMAGES = (
    *(SafetensorError, ArithmeticError, AttributeError, LookupError),
    *(MemoryError, RecursionError, TypeError, ValueError),
)
"""What readers raise where the contents of a file make no sense."""
SEAL = f'{RECORD}.sha256'  # of record and tensors; files of earlier versions have none
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
        """A checkpoint without a network; `Controller` then plans by sweeps."""
        if system.final_time is not None:  # no LQR has a free duration
            return cls({}, system, {}, Coordinates('open_loop'))
        coordinates = Coordinates('open_loop', LADDER)
        return cls(coordinates.numbers(system).tensors(), system, {}, coordinates)

    @property
    def is_classical(self) -> bool:
        """Whether there is no network."""
        return not self.model

    @property
    def only_proposes(self) -> bool:
        """Whether the network writes first plans, and refines none."""
        return bool(self.model) and TRCConfig.from_record(self.model).cycles == 0

    @property
    def lowered(self) -> System:
        """The system whose cost refinement lowers: the soft twin where constraints are learned."""
        penalties = self.coordinates.penalties
        return softened(self.system, penalties) if penalties else self.system

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

    @property
    def digest(self) -> str:
        """A hash of everything that plans depend on: two of the same plan the same."""
        record = json.dumps(self.record, sort_keys=True)
        if self.graph is not None:
            record += hashlib.sha256(self.graph.read_bytes()).hexdigest()
        return _digest(record, {**self.tensors, **self.correction})

    def require_tensors(self) -> None:
        """Compares the tensors with all that the record says of them.

        Raises:
            ValueError: if one does not fit; the message names it.
        """
        held = {**self.tensors, **self.correction}
        weights = self.graph is None
        require_tensors(self.system, self.model, self.coordinates, held, weights)

    def without_correction(self) -> Checkpoint:
        """The checkpoint before it was fine-tuned."""
        return replace(self, correction={})

    def with_parameters(self, parameters: Mapping[str, float]) -> Checkpoint:
        """This network for a plant with other physical parameters, or weights, like 'Q[0]'.

        The numbers of the representation are computed anew, among them the parameters that the
        network takes as inputs.

        Raises:
            ValueError: if the plant has no such parameter or weight.
        """
        return self.on(with_values(self.system, parameters))

    def on(self, system: System) -> Checkpoint:
        """This network for another plant, with the numbers of the representation of that one."""
        if self.coordinates.kind == DESCENT:  # whose numbers are learned
            return replace(self, system=system)
        tensors = {**self.tensors, **self.coordinates.numbers(system).tensors()}
        for name in ('u_min', 'u_max', 'u_trim'):
            if f'{REPRESENTATION}{name}' in tensors:
                tensors[f'{REPRESENTATION}{name}'] = getattr(system, name)
        return replace(self, system=system, tensors=tensors)

    def with_input_gains(self) -> Checkpoint:
        """This network for its plant with the gains of the controls as parameters, all 1."""
        return replace(self, system=with_input_gains(self.system))

    def with_figures(self, name: str, figures: Any) -> Checkpoint:
        """The same with figures (JSON values) of that name among its metrics."""
        return replace(self, metrics={**self.metrics, name: figures})


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
    held = {**checkpoint.tensors, **checkpoint.correction}
    tensors = {name: np.array(value, order='C') for name, value in held.items()}
    record = json.dumps(checkpoint.record, separators=(',', ':'))
    seal = {RECORD: record, SEAL: _digest(record, tensors)}
    write_whole(path, save(tensors, metadata=seal))
    return path


def load_checkpoint(
    name_or_path: str | Path, system: System | None = None, force: bool = False
) -> Checkpoint:
    """Reads a shipped checkpoint by name, or a file (also one of `trc export`) by path.

    Args:
        name_or_path: a shipped name, or the path of a file.
        system: the plant that it was trained for, compared with the one in the file; needed for
            files of version 1, which hold no equations, if it has no name here.
        force: fly `system` itself, with a warning, where its equations or numbers are others
            than those in the file: the weights are the file's, gains and metrics computed anew.

    Raises:
        FileNotFoundError: if there is no such checkpoint; the message lists the shipped ones.
        ValueError: if the file is damaged, or belongs to a system that differs from ours.
    """
    path = find_checkpoint(name_or_path)
    record, tensors = read_checkpoint(path)
    with naming(path):
        correction = {key: a for key, a in tensors.items() if key.startswith(CORRECTION)}
        own = system_of_record(record['system'], system, force)
        checkpoint = Checkpoint(
            {key: a for key, a in tensors.items() if key not in correction},
            own,
            record['model'] and TRCConfig.from_record(record['model']).to_dict(),
            Coordinates.from_record(record['coordinates']),
            record['training'],
            record['metrics'],
            correction,
            path if path.suffix == GRAPH_SUFFIX else None,
        )
        if force and system is not None:
            checkpoint = checkpoint.on(own)
        checkpoint.require_tensors()
        return checkpoint


def read_checkpoint(path: Path) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """The record and the tensors as they are in a file, whether its system is known here or not.

    Raises:
        ValueError: if the file is damaged, or of another format.
    """
    with naming(path):
        record, tensors = (_read_graph if path.suffix == GRAPH_SUFFIX else _read)(path)
        if record['format'] not in READABLE:
            raise ValueError(f'format {record["format"]}, this version reads {FORMAT}')
        for key in KEYS:
            if not isinstance(record[key], dict):
                raise ValueError(f"'{key}' is {record[key]!r:.60}, expected names and values")
        return {key: record[key] for key in KEYS}, tensors


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Turns every error about the contents of a file into one that names the file."""
    try:
        yield
    except DAMAGES as error:
        reason = textwrap.shorten(str(error), LONGEST_REASON, placeholder=' ...')
        raise ValueError(f"'{path}' is not a usable trc checkpoint: {reason}") from error


def _read(path: Path) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """The record and the tensors of a safetensors file."""
    with safe_open(path, framework='numpy') as file:
        metadata = file.metadata() or {}
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    record = metadata[RECORD]
    if SEAL in metadata and metadata[SEAL] != _digest(record, tensors):
        raise ValueError('its contents are not those that were written: it was damaged since')
    return json.loads(record), tensors


def _digest(record: str, tensors: Mapping[str, NDArray[Any]]) -> str:
    """A hash of all that a file holds."""
    digest = hashlib.sha256(record.encode())
    for name, value in sorted(tensors.items()):
        digest.update(f'{name} {value.dtype} {value.shape}'.encode())
        digest.update(np.ascontiguousarray(value).data)
    return digest.hexdigest()


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
