"""Datasets of optimal trajectories: how they are made, stored, checked and fed to training."""

from typing import Any

__all__ = ['LQRDataset', 'TrajectoryDataset']


def __getattr__(name: str) -> Any:
    # Generating and loading need no torch: only who asks for a torch dataset imports it.
    if name in __all__:
        from trc_core.data import trajectory_dataset

        return getattr(trajectory_dataset, name)
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
