"""What a training run shows while it goes on."""

from __future__ import annotations

from typing import Any

import lightning.pytorch as pl

from trc_core.progress import progress_bar

REFRESH_EVERY = 20  # steps


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
