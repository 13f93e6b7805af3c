"""Fine-tuning by reinforcement: a controller learns from plants that differ from its model."""

from __future__ import annotations

import contextlib
import io
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import torch

from trc_core.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from trc_core.command_line import checkpoint_as_flag, report_errors
from trc_core.finetuning.algorithms import ALGORITHMS, Algorithm
from trc_core.finetuning.config import FinetuneConfig
from trc_core.finetuning.log import Log
from trc_core.finetuning.policy import CorrectionPolicy
from trc_core.finetuning.problems import Problems
from trc_core.finetuning.report import test_and_report
from trc_core.planner.controller import Controller
from trc_core.planner.correction import Weights
from trc_core.progress import progress_bar
from trc_core.systems.registry import FILES, get_system
from trc_core.training.config import parse, run_as_command
from trc_core.training.fitting import BEST_MODEL, current_commit
from trc_core.training.run_folder import RESUME_FILE, read_progress, run_folder
from trc_core.whole_files import write_whole

PROGRAM, AS_MODULE = 'trc finetune', 'python -m trc_core.finetuning.finetuner'
SCALAR_RATE = 10.0  # of the few numbers that every tick has a say in, over the network's
STD_RATE = 0.2  # of exploration: what it has not tried cannot be learnt
PATIENCE = 2  # validations in a row that may be far above the best


@dataclass
class Progress:
    """Progress of a run: all that it takes to go on, beside policy and optimiser."""

    iteration: int = 0
    best: float = float('inf')
    """Lowest validation score so far: cost over that of the controller started from."""
    poor: int = 0
    """Validations in a row that were far above it."""
    seconds: float = 0.0
    cpu_seconds: float = 0.0


class Finetuning:
    """One run: a policy, its optimiser, and the problems it learns from.

    Args:
        config: settings of the run.
        checkpoint: the controller to start from.
        command: started the run; for the record.
    """

    def __init__(self, config: FinetuneConfig, checkpoint: Checkpoint, command: str) -> None:
        self.config, self.checkpoint, self.command = config, checkpoint, command
        self.output_dir = Path(config.output_dir)
        self.problems = Problems(config, checkpoint.system)
        weights = Weights.at_start(checkpoint.system, config.hidden, config.amplitude, config.seed)
        if checkpoint.correction:
            weights = Weights.from_tensors(checkpoint.correction)
        self.policy = CorrectionPolicy(weights, config.std)
        rate = config.learning_rate
        groups: list[dict[str, Any]] = [
            {'params': self.policy.scalars(), 'lr': SCALAR_RATE * rate},
            {'params': self.policy.layers()},
            {'params': [self.policy.log_std], 'lr': STD_RATE * rate},
        ]
        self.optimiser = torch.optim.Adam(groups, rate)
        self.algorithm: Algorithm = ALGORITHMS[config.algorithm](config, self.problems)
        self.progress = Progress()
        untuned = Controller(checkpoint, cycles=config.cycles)
        self.baseline = self.problems.validate(untuned)

    def controller(self) -> Controller:
        """The controller with what has been learnt so far."""
        return Controller(self.tuned(), cycles=self.config.cycles)

    def tuned(self, metrics: Mapping[str, Any] | None = None) -> Checkpoint:
        """The checkpoint with what has been learnt, and how."""
        record = {
            'command': self.command,
            'seed': self.config.seed,
            'commit': current_commit(),
            'config': asdict(self.config),
            'iterations': self.progress.iteration,
            'seconds': round(self.progress.seconds, 1),
            'cpu_seconds': round(self.progress.cpu_seconds, 1),
            'started_from': dict(self.checkpoint.training),
        }
        return replace(
            self.checkpoint,
            correction=self.policy.weights().tensors(),
            training=record,
            metrics=metrics or {},
        )

    def run(self) -> str:
        """Iterates to the end; returns why it ended early, '' if it did not.

        Raises:
            ValueError: if a figure is not finite.
        """
        done, total = self.progress.iteration, self.config.iterations
        with (
            contextlib.closing(Log(self.config, done)) as log,
            progress_bar(label='fine-tuning', total=total, initial=done, unit='iterations') as bar,
        ):
            return self._iterate(log, bar)

    def _iterate(self, log: Log, bar: Any) -> str:
        config, progress, reason = self.config, self.progress, ''
        if not progress.iteration:
            self.validate(log)
        while progress.iteration < config.iterations and not reason:
            began, cpu = time.monotonic(), time.process_time()
            figures = self.algorithm.improve(
                self.policy, self.optimiser, self.controller(), progress.iteration
            )
            progress.iteration += 1
            if progress.iteration % config.validate_every == 0:
                reason = self.validate(log)
            if not all(np.isfinite(list(figures.values()))):
                self._fail(f'of the figures {figures} not all are finite')
            progress.seconds += time.monotonic() - began
            progress.cpu_seconds += time.process_time() - cpu
            log.write(progress.iteration, {**figures, 'seconds': progress.seconds})
            bar.set_postfix({name: f'{value:.3g}' for name, value in figures.items()})
            bar.update()
            self.save()
        return reason

    def validate(self, log: Log) -> str:
        """Flies the fixed validation flights and keeps the best; returns why to stop, if so."""
        found = self.problems.validate(self.controller())
        score = float(found.mismatched.mean() / self.baseline.mismatched.mean())
        nominal = float((found.nominal / self.baseline.nominal).mean())
        log.write(self.progress.iteration, {'val/score': score, 'val/nominal': nominal})
        if not np.isfinite(score):
            self._fail(f'the validation score is {score}')
        if score < self.progress.best and nominal <= self.config.nominal_limit:
            self.progress.best, self.progress.poor = score, 0
            metrics = {'validation': {'score': score, 'nominal': nominal}}
            save_checkpoint(self.output_dir / BEST_MODEL, self.tuned(metrics))
        far = score > self.config.divergence * self.progress.best
        self.progress.poor = self.progress.poor + 1 if far else 0
        if self.progress.poor >= PATIENCE:
            return f'the validation score {score:.4g} is far above {self.progress.best:.4g}'
        return ''

    def _fail(self, reason: str) -> NoReturn:
        best, kept = self.output_dir / BEST_MODEL, 'there is no model'
        if np.isfinite(self.progress.best):
            kept = f"the best model before that is kept in '{best}'"
        raise ValueError(
            f'fine-tuning failed: at iteration {self.progress.iteration} {reason}; {kept}; try a '
            'smaller --learning_rate or --std'
        )

    def save(self) -> None:
        """Writes what it takes to go on."""
        path = self.output_dir / RESUME_FILE
        state = {
            'policy': self.policy.state_dict(),
            'optimiser': self.optimiser.state_dict(),
            'progress': asdict(self.progress),
        }
        content = io.BytesIO()
        torch.save(state, content)
        write_whole(path, content.getvalue())

    def restore(self) -> None:
        """Goes on where `save` left off, if it ever did."""
        state = read_progress(self.output_dir)
        if state is None:
            return
        self.policy.load_state_dict(state['policy'])
        self.optimiser.load_state_dict(state['optimiser'])
        self.progress = Progress(**state['progress'])


def finetune(config: FinetuneConfig, command: str) -> Path:
    """Runs the stage; returns the tuned checkpoint, tested and with its record.

    Raises:
        ValueError: if the checkpoint is of another system, the plants do not fit it, or figures
            are not finite.
    """
    checkpoint = load_for(config)
    torch.set_num_threads(config.num_threads)
    if not config.evaluate:
        learn(config, checkpoint, command)
    best = Path(config.output_dir) / BEST_MODEL
    test_and_report(config, Problems(config, checkpoint.system), checkpoint, best)
    return best


def learn(config: FinetuneConfig, checkpoint: Checkpoint, command: str) -> None:
    """Leaves the best checkpoint in the output folder."""
    torch.manual_seed(config.seed)
    with run_folder(Path(config.output_dir), config, checkpoint.system):
        tuning = Finetuning(config, checkpoint, command)
        tuning.restore()
        reason = tuning.run()
    if reason:
        step = tuning.progress.iteration
        print(f'stopped at iteration {step}: {reason}; the best checkpoint before it is kept')


def load_for(config: FinetuneConfig) -> Checkpoint:
    """The checkpoint to start from.

    Raises:
        ValueError: if it is of another system than the config's.
    """
    system = get_system(config.system, **config.task.words) if config.system else None
    of_file = system if config.force or config.system.endswith(FILES) else None
    checkpoint = load_checkpoint(config.checkpoint, of_file, config.force)
    if system is not None and checkpoint.system.name != system.name:
        raise ValueError(
            f"'{config.checkpoint}' is a controller of '{checkpoint.system.name}', "
            f"not of '{system.name}'"
        )
    return checkpoint


def main(argv: Sequence[str] | None = None) -> None:
    """Fine-tunes a checkpoint on plants that differ from its model."""
    program = AS_MODULE if argv is None else PROGRAM
    with report_errors(program):
        arguments = checkpoint_as_flag(sys.argv[1:] if argv is None else argv)
        best = finetune(parse(FinetuneConfig, program, arguments), run_as_command(program, argv))
        print(best)


if __name__ == '__main__':
    main()
