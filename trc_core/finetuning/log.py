"""Figures of a run that goes on for a while: CSV, and the logger that was chosen."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

from trc_core.training.config import RunConfig
from trc_core.training.logs import beside_csv, close

COLUMNS = ('iteration', 'figure', 'value')


class Log:
    """Appends to `csv/metrics.csv`, one figure a line, and to the logger of the config.

    Args:
        config: of the run.
        iteration: with which it begins or goes on.

    Raises:
        ValueError: if wandb does not start.
    """

    def __init__(self, config: RunConfig, iteration: int) -> None:
        self._loggers = beside_csv(config, iteration)
        self._file = None
        if config.logger == 'none':
            return
        path = Path(config.output_dir) / 'csv' / 'metrics.csv'
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open('a', newline='')
        if not path.stat().st_size:
            csv.writer(self._file).writerow(COLUMNS)

    def write(self, iteration: int, figures: Mapping[str, float]) -> None:
        """Figures of one iteration, by name."""
        for logger in self._loggers:
            logger.log_metrics(dict(figures), iteration)
        if self._file is not None:
            rows = [(iteration, name, value) for name, value in figures.items()]
            csv.writer(self._file).writerows(rows)
            self._file.flush()

    def close(self) -> None:
        """Closes all."""
        close(self._loggers)
        if self._file is not None:
            self._file.close()
