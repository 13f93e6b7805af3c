"""What a training run shows while it goes on, and where its figures are kept."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger, WandbLogger

from trc_core.progress import progress_bar
from trc_core.training.config import RunConfig

REFRESH_EVERY = 20  # steps
PROJECT = 'trc'  # on wandb, unless WANDB_PROJECT names another


def loggers_of(config: RunConfig) -> list[Logger]:
    """The loggers of a training run: CSV beside the one that was chosen, or none at all.

    Raises:
        ValueError: if wandb does not start.
    """
    if config.logger == 'none':
        return []
    return [CSVLogger(config.output_dir, 'csv', ''), *beside_csv(config)]


def beside_csv(config: RunConfig, first_step: int = 0) -> list[Logger]:
    """The logger that was chosen, if it keeps more than CSV.

    Args:
        config: names it and the folder.
        first_step: TensorBoard forgets what an interrupted run has written from there on.

    Raises:
        ValueError: if wandb does not start.
    """
    made = BESIDE_CSV.get(config.logger)
    return [] if made is None else [made(config, first_step)]


def close(loggers: Sequence[Logger]) -> None:
    """Ends the run on wandb, so that another run in this process is another one there too."""
    for logger in loggers:
        logger.finalize('success')
        if isinstance(logger, WandbLogger):
            logger.experiment.finish()


def _tensorboard(config: RunConfig, first_step: int) -> Logger:
    return TensorBoardLogger(config.output_dir, 'tensorboard', '', purge_step=first_step)


def _wandb(config: RunConfig, first_step: int) -> Logger:
    import wandb

    folder = Path(config.output_dir)
    folder.mkdir(parents=True, exist_ok=True)
    logger = WandbLogger(
        name=folder.name,
        save_dir=folder,
        project=os.environ.get('WANDB_PROJECT', PROJECT),
        config=asdict(config),
    )
    try:
        logger.experiment  # noqa: B018  # begins the run
    except wandb.Error as error:
        raise ValueError(
            f'wandb does not start: {error}; WANDB_MODE=offline keeps its figures in {folder}'
        ) from error
    return logger


BESIDE_CSV: Mapping[str, Callable[[RunConfig, int], Logger]] = {
    'tensorboard': _tensorboard,
    'wandb': _wandb,
}


class StepProgress(pl.Callback):
    """Callback that shows how many optimiser steps are done, with the figures of the last."""

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self._bar = None
        if trainer.is_global_zero:
            total, done = trainer.estimated_stepping_batches, trainer.global_step
            self._bar = progress_bar(label='training', total=total, initial=done, unit='steps')

    def on_train_batch_end(
        self, trainer: pl.Trainer, module: pl.LightningModule, *batch: Any
    ) -> None:
        if self._bar is None:
            return
        if trainer.global_step % REFRESH_EVERY == 0:
            shown = trainer.progress_bar_metrics.items()
            self._bar.set_postfix({name: f'{value:.4g}' for name, value in shown})
        self._bar.update(trainer.global_step - self._bar.n)

    def on_train_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        if self._bar is not None:
            self._bar.close()
