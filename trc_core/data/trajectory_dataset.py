"""PyTorch datasets of optimal trajectories."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from trc_core.data.trajectories import DURATION, PARAMETERS, TrajectoryData, load_arrays

ITEMS = ('current_state', 'target_state', 'controls', 'states')
SPLITS = ('all', 'train', 'validation', 'test')


class TrajectoryDataset(Dataset):
    """Trajectories as float32 tensors, one dictionary a sample.

    Keys: `current_state` (n_x,), `target_state` (n_x,), `controls` (T, n_u) and
    `states` (T + 1, n_x), `parameters` (n_p,) where problems differ in them, and `duration` ()
    [s] where it is free.

    Args:
        source: the dataset's file or folder (see `load_arrays`), or data already loaded.
        split: 'all', 'train', 'validation' or 'test'.
        validation_share: share of the samples that belongs to 'validation'.
        test_share: share that belongs to 'test'; 'train' is what remains.

    Raises:
        FileNotFoundError: if there is no such dataset.
        ValueError: if the file is not usable, the split unknown or empty, or a share negative.
    """

    def __init__(
        self,
        source: str | Path | TrajectoryData,
        split: str = 'all',
        validation_share: float = 0.1,
        test_share: float = 0.1,
    ) -> None:
        if split not in SPLITS:
            raise ValueError(f"unknown split '{split}'; choose from {list(SPLITS)}")
        self.data = source if isinstance(source, TrajectoryData) else load_arrays(source)
        self.system = self.data.system
        chosen = np.ones(len(self.data), dtype=np.bool_)
        if split != 'all':
            chosen = assign(self.data, validation_share, test_share) == split
        if not chosen.any():
            raise ValueError(f"the split '{split}' of {len(self.data)} samples is empty")
        self.indices = np.flatnonzero(chosen)
        self._tensors = {
            key: torch.from_numpy(getattr(self.data, key)[self.indices]).float()
            for key in (*ITEMS, PARAMETERS, DURATION)
            if getattr(self.data, key) is not None
        }

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        return {key: tensor[index] for key, tensor in self._tensors.items()}


LQRDataset = TrajectoryDataset  # by the name of the linear-quadratic generator


def assign(data: TrajectoryData, validation_share: float, test_share: float) -> NDArray[np.str_]:
    """(N,) the split of each sample, decided by a hash of its initial state and goal.

    A sample keeps its split when the dataset grows, shrinks or is put in another order.

    Raises:
        ValueError: if a share is negative or they exceed 1 together.
    """
    if min(validation_share, test_share) < 0 or validation_share + test_share > 1:
        raise ValueError(
            f'shares of {validation_share} and {test_share} for validation and test do not fit '
            f'between 0 and 1'
        )
    samples = np.hstack([data.current_state, data.target_state])
    digests = (hashlib.blake2b(row.tobytes(), digest_size=8).digest() for row in samples)
    positions = np.array([int.from_bytes(digest, 'little') for digest in digests]) / 2.0**64
    is_validation, is_test = positions < validation_share, positions >= 1.0 - test_share
    return np.select([is_validation, is_test], ['validation', 'test'], 'train')
