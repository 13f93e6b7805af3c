"""The training loop that all stages share: optimiser, logs, checkpoints, resume."""

from __future__ import annotations

import io
import math
import subprocess
import time
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, NoReturn

import lightning.pytorch as pl
import torch
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO
from lightning.pytorch.callbacks import (
    ModelCheckpoint,
    WeightAveraging,
)
from torch import Tensor
from torch.utils.data import DataLoader

from trc_core.models.persistence import save_model
from trc_core.models.tiny_recursive_control import TinyRecursiveControl
from trc_core.systems import System
from trc_core.training.config import FitConfig
from trc_core.training.logs import StepProgress, close, loggers_of
from trc_core.training.run_folder import RESUME_FILE, read_progress, run_folder
from trc_core.whole_files import write_whole

SAVE_EVERY = 500  # steps that a crash can cost; Ctrl-C costs none
BEST_MODEL = 'best_model.safetensors'
LAST_MODEL = 'last_model.safetensors'


class NotFiniteError(Exception):
    """Raised where a loss, a score or a weight is not finite: no step makes it so again."""


class TrainingModule(pl.LightningModule):
    """Lightning module of a model in training, with the score by which the best is kept."""

    def __init__(
        self,
        config: FitConfig,
        model: TinyRecursiveControl,
        system: System,
    ) -> None:
        super().__init__()
        self.config = config
        self.model = model
        self.system = system
        self.score = math.inf
        self.best_score = math.inf
        self.metrics: dict[str, float] = {}

    def fail(self, reason: str) -> NoReturn:
        """Ends the run, because something is not finite; what was the best stays as it is."""
        raise NotFiniteError(f'at step {self.trainer.global_step} {reason}')

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        if outputs and not torch.isfinite(outputs['loss']):
            self.fail(f'the loss is {outputs["loss"].item()}')

    def on_validation_start(self) -> None:
        if not all(bool(torch.isfinite(weight).all()) for weight in self.parameters()):
            self.fail('the weights are not finite')

    def report(self, score: Tensor, metrics: Mapping[str, Tensor]) -> None:
        """Logs validation figures; the model with the lowest score is the best."""
        self.score = float(score)
        self.metrics = {name: float(value) for name, value in metrics.items()}
        self.log('val/score', self.score, prog_bar=True, batch_size=1)
        for name, value in self.metrics.items():
            self.log(f'val/{name}', value, batch_size=1)

    def configure_optimizers(self) -> Any:
        """AdamW with warm-up and cosine."""
        config = self.config
        optimiser = torch.optim.AdamW(
            self.model.parameters(),
            config.learning_rate,
            betas=(0.9, 0.98),
            weight_decay=config.weight_decay,
            fused=True,
        )
        total, warmup = int(self.trainer.estimated_stepping_batches), config.warmup_steps

        def rate(step: int) -> float:
            if step < warmup:
                return (step + 1) / warmup
            progress = (step - warmup) / max(total - warmup, 1)
            return 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))

        schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, rate)
        return {
            'optimizer': optimiser,
            'lr_scheduler': {'scheduler': schedule, 'interval': 'step'},
        }

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint['best_score'] = self.best_score

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.best_score = checkpoint['best_score']


class WholeCheckpoints(TorchCheckpointIO):
    """Lightning's own state, `last.ckpt`, written at once or not at all, also on a full disk."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None
    ) -> None:
        content = io.BytesIO()
        torch.save(checkpoint, content)
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        write_whole(Path(path), content.getvalue())


class ModelExport(pl.Callback):
    """Callback that writes the best and the last model.

    It must stand before the weight averaging in the list of callbacks: it exports the averaged
    weights that validation has just scored.
    """

    def __init__(self, output_dir: Path, config: FitConfig, command: str) -> None:
        self.output_dir = output_dir
        self.record = {
            'command': command,
            'seed': config.seed,
            'commit': current_commit(),
            'config': asdict(config),
        }
        self.started = time.process_time()

    def on_validation_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        assert isinstance(module, TrainingModule)
        if trainer.sanity_checking or not trainer.is_global_zero:
            return
        self._save(LAST_MODEL, trainer, module)
        if module.score < module.best_score:
            module.best_score = module.score
            self._save(BEST_MODEL, trainer, module)

    def _save(self, name: str, trainer: pl.Trainer, module: TrainingModule) -> None:
        cpu_seconds = round(time.process_time() - self.started, 1)
        record = {**self.record, 'steps': trainer.global_step, 'cpu_seconds': cpu_seconds}
        path = self.output_dir / name
        save_model(path, module.model, module.system, record, module.metrics)


def current_commit() -> str:
    """The commit of the checkout that trains, `+` behind it if files differ; '' without one."""
    git = ['git', '-C', str(Path(__file__).parent)]
    try:
        head = subprocess.run(
            [*git, 'describe', '--always', '--exclude=*', '--abbrev=12', '--dirty=+'],
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return ''
    return head.stdout.strip()


def fit(
    module: TrainingModule,
    config: FitConfig,
    data: Iterable[Any],
    *,
    epochs: int,
    command: str,
    validation: Iterable[Any] = (0,),
) -> None:
    """Runs the training loop, resumable after an interruption.

    Raises:
        ValueError: if output_dir holds another run, a resumed run has another config or plant, or
            the run ends with a score, a loss or weights that are not finite.
    """
    output_dir, batches = Path(config.output_dir), _loader(data)
    _quiet()
    torch.set_num_threads(config.num_threads)
    with run_folder(output_dir, config, module.system):
        trainer = _trainer(config, batches, epochs, command)
        try:
            trainer.fit(
                module,
                batches,
                _loader(validation),
                ckpt_path=str(output_dir / RESUME_FILE) if read_progress(output_dir) else None,
                weights_only=True,
            )
            if not trainer.interrupted:
                _require_finite(module)
        except NotFiniteError as error:
            raise _failed(module, output_dir, error) from None
        finally:
            close(trainer.loggers)
    if trainer.is_global_zero and not trainer.interrupted:
        print(f'best score {module.best_score:.6f}: {output_dir / BEST_MODEL}')


def _require_finite(module: TrainingModule) -> None:
    if not module.metrics:  # a finished run was resumed: nothing was left to validate
        return
    if not math.isfinite(module.score):
        figures = ', '.join(f'{name} {value:g}' for name, value in module.metrics.items())
        raise NotFiniteError(f'the score of the last validation is {module.score} ({figures})')


def _failed(module: TrainingModule, output_dir: Path, reason: object) -> ValueError:
    """The error of a run that has failed; without a best model its folder is free again."""
    if math.isfinite(module.best_score):
        kept = f"the best model before that is kept in '{output_dir / BEST_MODEL}'"
    else:
        (output_dir / RESUME_FILE).unlink(missing_ok=True)  # it would fail again
        kept = 'there is no model'
    return ValueError(
        f'training failed: {reason}; {kept}; try a smaller --learning_rate, or an x0_box without '
        'states from which plans diverge'
    )


def _trainer(config: FitConfig, batches: Iterable[Any], epochs: int, command: str) -> pl.Trainer:
    """A trainer that logs, averages weights, and saves its state so that a run can be resumed."""
    output_dir = Path(config.output_dir)
    resumable = ModelCheckpoint(
        output_dir,
        'last',
        every_n_train_steps=SAVE_EVERY,
        save_on_exception=True,
        enable_version_counter=False,
    )
    return pl.Trainer(
        accelerator='cpu',  # where the compiled roll-outs are, which take most of the time
        devices=config.devices,
        strategy='ddp' if config.devices > 1 else 'auto',
        max_epochs=epochs,
        gradient_clip_val=config.gradient_clip,
        val_check_interval=_interval(config, batches),
        num_sanity_val_steps=0,
        enable_model_summary=False,
        enable_progress_bar=False,  # StepProgress is ours
        log_every_n_steps=20,
        logger=loggers_of(config) or False,
        plugins=[WholeCheckpoints()],
        callbacks=[
            ModelExport(output_dir, config, command),
            WeightAveraging(use_buffers=False, avg_fn=moving_average(config.ema_decay)),
            resumable,
            StepProgress(),
        ],
    )


def moving_average(decay: float) -> Callable[[Tensor, Tensor, Any], Tensor]:
    """Exponential moving average whose window grows, so that a short run forgets its beginning."""

    def average(averaged: Tensor, current: Tensor, updates: Any) -> Tensor:
        kept = min(decay, (1 + float(updates)) / (10 + float(updates)))
        return averaged + (1 - kept) * (current - averaged)

    return average


def _loader(data: Iterable[Any]) -> Iterable[Any]:
    return data if isinstance(data, DataLoader) else DataLoader(list(data), batch_size=None)  # type: ignore[arg-type]


def _interval(config: FitConfig, batches: Iterable[Any]) -> int | float:
    """Steps between validations, near `validate_every`, such that the last step has one."""
    every = getattr(config, 'validate_every', None)
    if every is None:
        return 1.0
    steps = len(batches)  # type: ignore[arg-type]
    return steps // max(1, round(steps / every))


def _quiet() -> None:
    """Silences Lightning's advice on data-loader workers and checkpoint folders."""
    import logging

    logging.getLogger('lightning.pytorch').setLevel(logging.WARNING)
    warnings.filterwarnings('ignore', module='lightning')
