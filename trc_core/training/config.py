"""Settings that the training stages share, and their command line."""

from __future__ import annotations

import importlib.util
import math
import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any, TypeVar

import yaml

from trc_core.models.plan_representation import for_system
from trc_core.models.tiny_recursive_control import TinyRecursiveControl
from trc_core.network_config import TRCConfig
from trc_core.numerics.representation import Coordinates
from trc_core.systems import System, get_system
from trc_core.systems.registry import parse_settings
from trc_core.systems.robot_task import DEFAULT_TASK, RobotTask

Config = TypeVar('Config', bound='RunConfig')
LOGGERS = ('tensorboard', 'wandb', 'csv', 'none')
FLAGS_OF_EVERY_CONFIG = ('config', 'print_config', 'help')
RULES: dict[str, Callable[[float], bool]] = {
    'be positive': lambda value: value > 0,
    'be at least 1': lambda value: value >= 1,
    'be at least 2': lambda value: value >= 2,
    'not be negative': lambda value: value >= 0,
    'lie in [0, 1]': lambda value: 0 <= value <= 1,
    'lie in [0, 1)': lambda value: 0 <= value < 1,
}


def require(config: RunConfig, rule: str, *names: str) -> None:
    """Checks settings against one of the `RULES`.

    Raises:
        ValueError: for the first that breaks it; the message names it and its value.
    """
    for name in names:
        value = getattr(config, name)
        if not (math.isfinite(value) and RULES[rule](value)):
            raise ValueError(f'{name} must {rule}, got {value}')


@dataclass(frozen=True)
class RunConfig:
    """Settings of every run."""

    output_dir: str = 'outputs'
    """Folder of checkpoints and logs."""
    seed: int = 0
    """Seed of everything that is drawn; equal seeds give equal runs."""
    learning_rate: float = 1e-3
    """Largest learning rate of the optimiser."""
    gradient_clip: float = 1.0
    """Largest norm of the gradient."""
    num_threads: int = 1
    """Threads of PyTorch; networks this small only get slower with more."""
    resume: bool = False
    """Continue an interrupted run in output_dir."""
    logger: str = 'tensorboard'
    """Where figures go: tensorboard or wandb, with csv beside them, csv alone, or none."""

    def __post_init__(self) -> None:
        if self.logger not in LOGGERS:
            raise ValueError(f"unknown logger '{self.logger}'; choose from {list(LOGGERS)}")
        if self.logger == 'wandb' and importlib.util.find_spec('wandb') is None:
            raise ValueError("the logger 'wandb' is missing; pip install 'trc[wandb]' adds it")
        require(self, 'be positive', 'learning_rate', 'gradient_clip')
        require(self, 'be at least 1', 'num_threads')
        require(self, 'not be negative', 'seed')


@dataclass(frozen=True)
class FitConfig(RunConfig):
    """Settings of every stage of supervised training."""

    warmup_steps: int = 200
    """Steps of linear warm-up; the rate then follows a cosine down to zero."""
    weight_decay: float = 1e-4
    """Weight decay of the optimiser AdamW."""
    ema_decay: float = 0.995
    """Decay of the averaged weights, which are the ones delivered."""
    devices: int = 1
    """Processes that train together (DDP), each on problems of its own."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self, 'be at least 1', 'devices')
        require(self, 'not be negative', 'warmup_steps', 'weight_decay')
        require(self, 'lie in [0, 1)', 'ema_decay')


@dataclass(frozen=True)
class NetworkConfig(FitConfig):
    """Settings of the network that a stage trains."""

    representation: str = 'stabilised'
    """Coordinates of the plan: stabilised (around LQR), gated (LQR near the goal only), open_loop
    (the controls themselves) or canonical (the same, problems read in a frame of their own)."""
    feedback: Sequence[str] = ('trajectory', 'gradient')
    """Consequences of the plan that a cycle sees: terminal, trajectory, gradient."""
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
    """H_cycles of the single-latent mode."""
    num_inner_cycles: int = 3
    """L_cycles of the single-latent mode."""
    num_reasoning_blocks: int = 2
    """L_layers of the single-latent mode."""
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
    """Best plans that cycle 1, 2, ... refines; the last number holds from there on."""
    sweeps: int = 0
    """Box-iLQR sweeps at the end of every cycle."""
    feedback_stride: int = 1
    """Feedback `trajectory` shows every state of this stride."""
    proposals: str = 'outputs'
    """How first plans are written: outputs (all from one latent) or latents (one for each)."""
    set_dim: int = 64
    """Width of the encoder of obstacles."""
    relations: int = 0
    """Rounds in which obstacles read of one another."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self, 'not be negative', 'num_heads')
        self.coordinates()

    def coordinates(self) -> Coordinates:
        """The choice of the plan representation."""
        return Coordinates(
            self.representation, () if self.representation == 'canonical' else (1.0,)
        )

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
    """Settings of a stage that needs a plant and no dataset."""

    system: str = 'van_der_pol'
    """Name of the plant, or the path of a .py, .urdf or .xml file that defines it."""
    task: RobotTask = DEFAULT_TASK
    """Task of a robot that is given by its URDF or MJCF."""
    parameters: dict[str, float] = field(default_factory=dict)
    """Physical parameters that differ from the system's own; `--set mu=0.7` for short."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.build_system()

    def build_system(self) -> System:
        """The plant, with the parameters asked for."""
        return get_system(self.system, **self.task.words).with_parameters(**self.parameters)


class UnknownSettingError(ValueError):
    """Raised for a flag, or a key of a config file, that no field of a config has.

    Args:
        name: of the setting.
        config: the config class without it.
        where: the config file that names it; '' for a flag.
    """

    def __init__(self, name: str, config: type, where: str = '') -> None:
        self.name = name
        flags = ', '.join(f'--{known}' for known in nearest(name, settings_of(config)))
        known = f'the keys are those of the flags {flags}' if where else f'the flags are {flags}'
        shown = f"'{name}' in '{where}'" if where else f'--{name}'
        super().__init__(f'{shown} is no setting; {known}')


def settings_of(config: type) -> list[str]:
    """The names of the fields of a config class, which are its flags."""
    return [f.name for f in fields(config)]


def nearest(name: str, known: Sequence[str]) -> list[str]:
    """Names in the order of their likeness to another."""
    wanted = name.lower().replace('-', '_')
    return sorted(known, key=lambda other: -SequenceMatcher(None, wanted, other.lower()).ratio())


def require_known(config: type, arguments: Sequence[str]) -> None:
    """Looks through flags, and the keys of config files among them, for what a config lacks.

    Raises:
        UnknownSettingError: for the first; all settings stand in its message, the nearest first.
    """
    known = {*settings_of(config), *FLAGS_OF_EVERY_CONFIG}
    rest = iter(arguments)
    for argument in rest:
        flag, equals, value = argument.partition('=')
        name = flag.removeprefix('--').partition('.')[0]
        if not flag.startswith('--') or not name:
            continue
        if name not in known:
            raise UnknownSettingError(name, config)
        if name == 'config':
            path = value if equals else next(rest, '')
            unknown = [key for key in settings_in(path) if key not in known]
            if unknown:
                raise UnknownSettingError(unknown[0], config, path)


def settings_in(path: str | Path) -> dict[str, Any]:
    """The settings of a config file; none where it is missing or no mapping.

    What is wrong with such a file, the parser of the flags says.
    """
    try:
        settings = yaml.safe_load(Path(path).read_text())
    except (OSError, ValueError, yaml.YAMLError):
        return {}
    return (
        {str(key): value for key, value in settings.items()} if isinstance(settings, dict) else {}
    )


def parse(config: type[Config], program: str, argv: Sequence[str] | None) -> Config:
    """A config from flags and `--config FILE.yaml`; unknown keys and wrong types are errors.

    Raises:
        UnknownSettingError: for a flag or key that is not one of the config's fields.
        ValueError: if a setting is refused; the message names it.
        SystemExit: with the exit code 2 and the usage, for what is no value of a setting's type.
    """
    from jsonargparse import ActionConfigFile, ArgumentParser, set_parsing_settings

    set_parsing_settings(docstring_parse_attribute_docstrings=True)  # the text of --help
    parser = ArgumentParser(prog=program, description=config.__doc__)
    parser.add_argument('--config', action=ActionConfigFile, help='YAML file of these settings')
    parser.add_class_arguments(config)
    arguments = _settings_spelled_out(sys.argv[1:] if argv is None else list(argv))
    require_known(config, arguments)
    values = parser.parse_args(arguments)
    values.pop('config', None)
    settings = values.as_dict()
    if 'task' in settings:
        settings['task'] = RobotTask(**settings['task'])
    return config(**settings)


def _settings_spelled_out(arguments: list[str]) -> list[str]:
    """Arguments with `--set mu=0.7` and `--set=mu=0.7` spelled `--parameters.mu 0.7`."""
    spelled: list[str] = []
    rest = iter(arguments)
    for argument in rest:
        flag, equals, setting = argument.partition('=')
        if flag != '--set':
            spelled.append(argument)
            continue
        for name, value in parse_settings([setting if equals else next(rest, '')]).items():
            spelled += [f'--parameters.{name}', str(value)]
    return spelled


def run_as_command(program: str, argv: Sequence[str] | None) -> str:
    """The command line, as it can be typed again."""
    return shlex.join([*program.split(), *(sys.argv[1:] if argv is None else argv)])
