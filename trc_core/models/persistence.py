"""Saving models as checkpoints and loading them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from trc_core.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from trc_core.models.descent import DescentRepresentation
from trc_core.models.plan_representation import LIMITS, PlanRepresentation
from trc_core.models.tiny_recursive_control import TinyRecursiveControl
from trc_core.network_config import TRCConfig
from trc_core.numerics.descent import Descent
from trc_core.numerics.representation import DESCENT, Coordinates
from trc_core.systems import System


def save_model(
    path: str | Path,
    model: TinyRecursiveControl,
    system: System,
    training: Mapping[str, Any] | None = None,
    metrics: Mapping[str, Any] | None = None,
) -> Path:
    """Writes a model with the contract of its system."""
    return save_checkpoint(path, checkpoint_of(model, system, training, metrics))


def checkpoint_of(
    model: TinyRecursiveControl,
    system: System,
    training: Mapping[str, Any] | None = None,
    metrics: Mapping[str, Any] | None = None,
) -> Checkpoint:
    """A model with the contract of its system, as it flies."""
    tensors = {name: value.cpu().numpy() for name, value in model.state_dict().items()}
    coordinates = model.representation.coordinates or Coordinates('open_loop')
    return Checkpoint(
        tensors, system, model.config.to_dict(), coordinates, training or {}, metrics or {}
    )


def load_model(
    name_or_path: str | Path, system: System | None = None
) -> tuple[TinyRecursiveControl, Checkpoint]:
    """Reads a model (in evaluation mode) and the record that came with it.

    Raises:
        FileNotFoundError, ValueError: as `load_checkpoint`, or if the weights do not fit.
    """
    checkpoint = load_checkpoint(name_or_path, system)
    try:
        return model_of(checkpoint), checkpoint
    except RuntimeError as error:
        raise ValueError(f"the weights of '{name_or_path}' do not fit: {error}") from error


def model_of(checkpoint: Checkpoint) -> TinyRecursiveControl:
    """The model of a checkpoint, in evaluation mode.

    Raises:
        RuntimeError: if the weights do not fit.
    """
    model = TinyRecursiveControl(TRCConfig(**checkpoint.model), _representation_of(checkpoint))
    weights = {name: torch.from_numpy(value.copy()) for name, value in checkpoint.tensors.items()}
    model.load_state_dict(weights)
    return model.eval()


def _representation_of(checkpoint: Checkpoint) -> Any:
    """The representation of a checkpoint's plans, for PyTorch."""
    if checkpoint.coordinates.kind == DESCENT:
        return DescentRepresentation(Descent.of(checkpoint.system, checkpoint.tensors))
    u_min, u_max, u_trim = (checkpoint.tensors[f'representation.{name}'] for name in LIMITS)
    return PlanRepresentation(
        checkpoint.representation, u_min, u_max, u_trim, checkpoint.coordinates
    )
