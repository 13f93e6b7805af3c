"""What every training stage shares: optimiser, logs, checkpoints, resume, command line."""

from __future__ import annotations

import math
import os
import shlex
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

import lightning.pytorch as pl
import torch
import yaml
from lightning.pytorch.callbacks import (
    ModelCheckpoint,
    TQDMProgressBar,
    WeightAveraging,
)
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from torch import Tensor
from torch.utils.data import DataLoader

from trc_core.models.config import TRCConfig
from trc_core.models.persistence import save_model
from trc_core.models.plan_representation import for_system
from trc_core.models.tiny_recursive_control import TinyRecursiveControl
from trc_core.representation import Coordinates
from trc_core.systems import System, get_system
from trc_core.systems.registry import parse_settings

RESUME_FILE = 'last.ckpt'
SAVE_EVERY = 500  # steps that a crash can cost; Ctrl-C costs none
CONFIG_FILE = 'config.yaml'
BEST_MODEL = 'best_model.safetensors'
LAST_MODEL = 'last_model.safetensors'
NOT_PART_OF_THE_RUN = ('resume', 'output_dir')
Config = TypeVar('Config', bound='RunConfig')


@dataclass(frozen=True)
class RunConfig:
    """What every run can be told."""

    output_dir: str = 'outputs'
    """Where checkpoints and logs go."""
    seed: int = 0
    """Of everything that is drawn; the same seed gives the same run."""
    learning_rate: float = 1e-3
    """Of the optimiser, at its largest."""
    gradient_clip: float = 1.0
    """Largest norm of the gradient."""
    num_threads: int = 1
    """Threads of PyTorch; networks this small only get slower with more."""
    resume: bool = False
    """Go on with an interrupted run in output_dir."""

    def __post_init__(self) -> None:
        for name in ('learning_rate', 'gradient_clip'):
            if getattr(self, name) <= 0:
                raise ValueError(f'{name} must be positive, got {getattr(self, name)}')


@dataclass(frozen=True)
class FitConfig(RunConfig):
    """What every stage of supervised training can be told."""

    warmup_steps: int = 200
    """Steps of linear warm-up; the rate then follows a cosine down to zero."""
    weight_decay: float = 1e-4
    """Of the optimiser AdamW."""
    ema_decay: float = 0.995
    """Decay of the averaged weights, which are the ones delivered."""
    devices: int = 1
    """Processes that train together (DDP), each on problems of its own."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.devices < 1:
            raise ValueError(f'devices must be at least 1, got {self.devices}')
        if not 0 <= self.ema_decay < 1:
            raise ValueError(f'ema_decay must lie in [0, 1), got {self.ema_decay}')


@dataclass(frozen=True)
class NetworkConfig(FitConfig):
    """What every stage can be told of the network it trains."""

    representation: str = 'stabilised'
    """Coordinates of the plan: stabilised (around LQR), gated (LQR near the goal only) or
    open_loop (the controls themselves)."""
    feedback: Sequence[str] = ('trajectory', 'gradient')
    """What a cycle sees of the plan's consequences: terminal, trajectory, gradient."""
    latent_dim: int = 128
    """Width of the latent state."""
    hidden_dim: int = 128
    """Width of the hidden layers."""
    num_heads: int = 0
    """Attention heads; 0 leaves attention out (over one token it is a linear map)."""
    use_two_level: bool = True
    """Two latents, z_H and z_L, instead of one."""
    H_cycles: int = 3
    """Refinement cycles of the delivered controller."""
    L_cycles: int = 2
    """Reasoning steps within a cycle."""
    L_layers: int = 1
    """Blocks of a reasoning step."""
    num_outer_cycles: int = 3
    """As H_cycles, for the single-latent mode."""
    num_inner_cycles: int = 3
    """As L_cycles, for the single-latent mode."""
    num_reasoning_blocks: int = 2
    """As L_layers, for the single-latent mode."""
    norm: str = 'layer'
    """layer or rms."""
    norm_position: str = 'post'
    """post or pre."""
    activation: str = 'swiglu'
    """swiglu or silu."""
    tokens: str = 'vector'
    """vector: one latent for the plan; horizon: one per control step (needs num_heads)."""
    plans: int = 1
    """First plans that the network writes, to be tried side by side (hypotheses)."""
    first_cycles: int = 0
    """Reasoning cycles before the first plan."""
    beam: Sequence[int] = (1,)
    """How many of the best plans cycle 1, 2, ... refines; the last number holds from there on."""
    sweeps: int = 0
    """Box-iLQR sweeps at the end of every cycle."""
    feedback_stride: int = 1
    """Feedback `trajectory` shows every state of this stride."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.coordinates()

    def coordinates(self) -> Coordinates:
        """Of the plans."""
        return Coordinates(self.representation)

    def build_network(self, system: System) -> TinyRecursiveControl:
        """A fresh model for a plant."""
        choices = {f.name: getattr(self, f.name) for f in fields(NetworkConfig)}
        kept = {f.name for f in fields(TRCConfig)} & set(choices)
        return TinyRecursiveControl.for_system(
            system,
            for_system(system, self.coordinates()),
            **{name: choices[name] for name in kept},
        )


@dataclass(frozen=True)
class PlantConfig(NetworkConfig):
    """What a stage can be told that needs a plant and no dataset."""

    system: str = 'van_der_pol'
    """Name of the plant, or the path of a .py file that defines it."""
    parameters: dict[str, float] = field(default_factory=dict)
    """Physical parameters that differ from the system's own; `--set mu=0.7` for short."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.build_system()

    def build_system(self) -> System:
        """The plant, with the parameters asked for."""
        return get_system(self.system).with_parameters(**self.parameters)


class Fitting(pl.LightningModule):
    """A model in training: optimiser, schedule, and the score by which the best is kept."""

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


class Delivery(pl.Callback):
    """Writes the best and the last model.

    It must stand before the weight averaging in the list of callbacks: it exports the averaged
    weights that validation has just judged.
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
        assert isinstance(module, Fitting)
        if trainer.sanity_checking or not trainer.is_global_zero:
            return
        self._save(LAST_MODEL, trainer, module)
        if module.score < module.best_score:
            module.best_score = module.score
            self._save(BEST_MODEL, trainer, module)

    def _save(self, name: str, trainer: pl.Trainer, module: Fitting) -> None:
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
    module: Fitting,
    config: FitConfig,
    data: Iterable[Any],
    *,
    epochs: int,
    command: str,
    validation: Iterable[Any] = (0,),
) -> None:
    """Runs the training loop, resumable after an interruption.

    Raises:
        ValueError: if output_dir holds another run, or a resumed run has another config.
    """
    output_dir = Path(config.output_dir)
    if 'LOCAL_RANK' not in os.environ:  # which DDP sets for the processes that join
        prepare_folder(output_dir, config)
    batches = _loader(data)
    resumable = ModelCheckpoint(
        output_dir,
        'last',
        every_n_train_steps=SAVE_EVERY,
        save_on_exception=True,
        enable_version_counter=False,
    )
    _quiet()
    torch.set_num_threads(config.num_threads)
    trainer = pl.Trainer(
        accelerator='cpu',  # where the compiled roll-outs are, which take most of the time
        devices=config.devices,
        strategy='ddp' if config.devices > 1 else 'auto',
        max_epochs=epochs,
        gradient_clip_val=config.gradient_clip,
        val_check_interval=_interval(config, batches),
        num_sanity_val_steps=0,
        enable_model_summary=False,
        log_every_n_steps=20,
        logger=[
            CSVLogger(output_dir, 'csv', ''),
            TensorBoardLogger(output_dir, 'tensorboard', ''),
        ],
        callbacks=[
            Delivery(output_dir, config, command),
            WeightAveraging(use_buffers=False, avg_fn=moving_average(config.ema_decay)),
            resumable,
            TQDMProgressBar(refresh_rate=20),
        ],
    )
    resume_from = output_dir / RESUME_FILE
    trainer.fit(
        module,
        batches,
        _loader(validation),
        ckpt_path=str(resume_from) if resume_from.exists() else None,
        weights_only=True,
    )
    if trainer.is_global_zero and not trainer.interrupted:
        print(f'best score {module.best_score:.6f}: {output_dir / BEST_MODEL}')


def moving_average(decay: float) -> Callable[[Tensor, Tensor, Any], Tensor]:
    """Exponential moving average that starts short, so that a short run forgets its beginning."""

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


def prepare_folder(output_dir: Path, config: RunConfig) -> None:
    """Makes the folder and records the config; refuses to mix two runs."""
    recorded = output_dir / CONFIG_FILE
    ours = {k: v for k, v in _plain(config).items() if k not in NOT_PART_OF_THE_RUN}
    if recorded.exists():
        if not config.resume:
            raise ValueError(
                f"'{output_dir}' holds a run already: pass --resume true to go on with it, "
                f'or another --output_dir'
            )
        theirs = yaml.safe_load(recorded.read_text())
        differing = sorted(k for k in ours if ours[k] != theirs.get(k))
        if differing:
            raise ValueError(
                f"cannot resume '{output_dir}': {differing[0]} is {ours[differing[0]]!r} now "
                f'but was {theirs.get(differing[0])!r}'
            )
        return
    if config.resume:
        raise ValueError(f"nothing to resume in '{output_dir}'")
    output_dir.mkdir(parents=True, exist_ok=True)
    recorded.write_text(yaml.safe_dump(ours, sort_keys=False))


def _plain(config: RunConfig) -> dict[str, Any]:
    return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(config).items()}


def _quiet() -> None:
    """Lightning's advice on data-loader workers and checkpoint folders is not for our users."""
    import logging

    logging.getLogger('lightning.pytorch').setLevel(logging.WARNING)
    warnings.filterwarnings('ignore', module='lightning')


def parse(config: type[Config], program: str, argv: Sequence[str] | None) -> Config:
    """A config from flags and `--config FILE.yaml`; unknown keys and wrong types are errors."""
    from jsonargparse import ActionConfigFile, ArgumentParser, set_parsing_settings

    set_parsing_settings(docstring_parse_attribute_docstrings=True)  # the text of --help
    parser = ArgumentParser(prog=program, description=config.__doc__)
    parser.add_argument('--config', action=ActionConfigFile, help='YAML file of these settings')
    parser.add_class_arguments(config)
    arguments = sys.argv[1:] if argv is None else list(argv)
    try:
        values = parser.parse_args(_settings_spelled_out(arguments))
        values.pop('config', None)
        return config(**values.as_dict())
    except (ValueError, FileNotFoundError) as error:
        parser.error(str(error))


def _settings_spelled_out(arguments: list[str]) -> list[str]:
    """`--set mu=0.7` as `--parameters.mu 0.7`."""
    spelled: list[str] = []
    rest = iter(arguments)
    for argument in rest:
        if argument != '--set':
            spelled.append(argument)
            continue
        for name, value in parse_settings([next(rest, '')]).items():
            spelled += [f'--parameters.{name}', str(value)]
    return spelled


def run_as_command(program: str, argv: Sequence[str] | None) -> str:
    """The command line, as it can be typed again."""
    return shlex.join([*program.split(), *(sys.argv[1:] if argv is None else argv)])
