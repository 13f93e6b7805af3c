"""Figures of a run that goes on for a while: CSV and TensorBoard."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

COLUMNS = ('iteration', 'figure', 'value')


class Log:
    """Appends to `csv/metrics.csv`, one figure a line, and to `tensorboard/`.

    Args:
        output_dir: of the run.
        iteration: with which it begins or goes on.
    """

    def __init__(self, output_dir: Path, iteration: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        path = output_dir / 'csv' / 'metrics.csv'
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open('a', newline='')
        self._rows = csv.writer(self._file)
        if not path.stat().st_size:
            self._rows.writerow(COLUMNS)
        self._tensorboard = SummaryWriter(str(output_dir / 'tensorboard'), purge_step=iteration)

    def write(self, iteration: int, figures: Mapping[str, float]) -> None:
        """Figures of one iteration, by name."""
        for name, value in figures.items():
            self._rows.writerow((iteration, name, value))
            self._tensorboard.add_scalar(name, value, iteration)
        self._file.flush()

    def close(self) -> None:
        """Closes both."""
        self._file.close()
        self._tensorboard.close()
