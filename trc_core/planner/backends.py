"""The table of backends."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from trc_core.checkpoint import Checkpoint
from trc_core.exported_network import cached_graph, is_whole
from trc_core.planner.backend import (
    Backend,
    ClassicalBackend,
    KernelBackend,
    ProposingBackend,
)
from trc_core.planner.network import uncompiled
from trc_core.whole_files import notice_damage

if TYPE_CHECKING:
    from trc_core.planner.onnx.writing import Written


def _torch(checkpoint: Checkpoint, device: str, num_threads: int | None) -> Backend:
    try:
        from trc_core.planner.torch_backend import TorchBackend
    except ModuleNotFoundError as error:
        raise ValueError(
            f"the backend 'torch' needs {error.name}: pip install 'trc[train]'"
        ) from None
    return TorchBackend(checkpoint, device, num_threads)


def _onnx(checkpoint: Checkpoint, device: str, num_threads: int | None) -> Backend:
    from trc_core.planner.onnx.backend import OnnxBackend

    if checkpoint.graph is None:
        checkpoint = replace(checkpoint, graph=_exported(checkpoint))
    return OnnxBackend(checkpoint, device, num_threads)


def _exported(checkpoint: Checkpoint) -> Path:
    """The graph of a checkpoint in the cache, made if need be.

    Raises:
        ValueError: if it has to be made, and cannot be.
    """
    path = cached_graph(checkpoint)
    if path.exists() and not is_whole(path.read_bytes()):
        notice_damage(path)
        path.unlink()
    if not path.exists():
        try:
            export_network(checkpoint, path)
        except ModuleNotFoundError as error:
            raise ValueError(
                "backend 'onnx' needs an exported graph: run trc export --checkpoint NAME on a "
                f"machine with trc[onnx] and load the .onnx file (no module '{error.name}' here)"
            ) from None
    return path


def export_network(checkpoint: Checkpoint, path: Path) -> Written:
    """Writes the network of a checkpoint as an ONNX graph, compared with what flies it here.

    Raises:
        ModuleNotFoundError: if the package onnx is missing.
        ValueError, OSError: as `onnx.writing.export`.
    """
    from trc_core.planner.onnx.writing import export

    name, _ = choose('auto', 'cpu', replace(checkpoint, graph=None))
    return export(checkpoint, path, name, lambda: BACKENDS[name](checkpoint, 'cpu', 1))


def _kernels(
    checkpoint: Checkpoint, device: str, num_threads: int | None, readable: bool = False
) -> Backend:
    """The kernels; where the network only proposes, its plans are starts of sweeps."""
    network = KernelBackend(checkpoint, device, num_threads, readable)
    if not checkpoint.only_proposes:
        return network
    return ProposingBackend(checkpoint, device, num_threads, network)


BACKENDS: dict[str, Callable[[Checkpoint, str, int | None], Backend]] = {
    'numba': _kernels,
    'numpy': functools.partial(_kernels, readable=True),
    'onnx': _onnx,
    'torch': _torch,
    'classical': ClassicalBackend,
}


def choose(name: str, device: str, checkpoint: Checkpoint) -> tuple[str, str]:
    """The backend to use for a user's choice, which may be 'auto', and why.

    Raises:
        ValueError: if there is no such backend.
    """
    if checkpoint.is_classical:
        return 'classical', 'there is no network'
    if name == 'classical':
        raise ValueError("for plans without the network load 'classical' with system=...")
    if checkpoint.graph is not None and name in ('auto', 'onnx'):
        return 'onnx', f"'{checkpoint.graph.name}' is an exported graph"
    if checkpoint.graph is not None and name in BACKENDS:
        raise ValueError(f"an exported graph runs with backend='onnx', not '{name}'")
    if name in BACKENDS:
        return name, 'as asked'
    if name != 'auto':
        raise ValueError(f"unknown backend '{name}'; choose from {sorted(['auto', *BACKENDS])}")
    if device != 'cpu':
        return 'torch', f"the only one that runs on '{device}'"
    if differs := uncompiled(checkpoint.model):
        return 'torch', f'compiled kernels do not fly models with {differs}'
    return 'numba', 'the fastest on a CPU'
