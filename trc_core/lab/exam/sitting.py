"""One exam, unit by unit: every unit is written as soon as it is done, and is not done again."""

from __future__ import annotations

import hashlib
import json
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from trc_core.compile.binding import is_compiled
from trc_core.evaluation.problems import TEST_SEED
from trc_core.lab.exam import training
from trc_core.lab.exam.files import Exam, load
from trc_core.lab.exam.flight import flights
from trc_core.lab.exam.judge import Answers, passes
from trc_core.numerics.plan import Plan
from trc_core.planner.controller import Controller
from trc_core.problem.system import Array, System
from trc_core.solvers import free_time, multistart, nlp, search
from trc_core.solvers.evidence import evidence
from trc_core.solvers.fatrop import FATROP
from trc_core.solvers.nlp import IPOPT, OPTIONS, Method, optimise
from trc_core.solvers.problem import Problem
from trc_core.solvers.starting_points import starting_points
from trc_core.systems import get_system
from trc_core.whole_files import write_whole

WARM = ('double_integrator', 'bicycle_circles')  # plants whose first plan loads the kernels
STARTS = 3  # of IPOPT and of fatrop, on every problem
RANDOM, RANDOM_FREE = 256, 512  # starts of the classical controller, of a free duration more
LONGEST = 200.0  # CPU time of a unit
SECONDS = 5.0  # CPU time of a problem after which no further start is tried, and of one start
IPOPT_IN_TIME = replace(IPOPT, options=lambda program: {**OPTIONS, 'ipopt.max_cpu_time': SECONDS})


@dataclass(frozen=True)
class Options:
    """Sizes and choices of all exams."""

    problems: int = 8
    """Problems of each, the source's own start among them."""
    seed: int = TEST_SEED
    """Of the starts of the others."""
    minutes: float = 5.0
    """CPU time that a training may take."""
    train: bool = True
    """Whether to train where starts matter."""
    output: Path = Path('outputs/exams')
    """Folder of the units, and of the trainings."""


class Sitting:
    """An exam while it is taken."""

    def __init__(self, exam: Exam, options: Options, found: dict[str, Any]) -> None:
        self.exam, self.options, self.found = exam, options, found
        self.system = exam.system

    @cached_property
    def problems(self) -> list[tuple[Any, Any]]:
        """Starts (n_x,), and goals (n_x,) or references (T + 1, n_x)."""
        drawn = self.exam.problems(self.options.problems, self.options.seed)
        return [(x0, self.exam.goal(0.0, x0, goal)) for x0, goal in drawn]

    @cached_property
    def classical(self) -> Controller:
        """The controller without a network, after its first plan."""
        starts = RANDOM if self.system.final_time is None else RANDOM_FREE
        return _ready(Controller.classical(self.system, starts=starts), self.problems[0])

    @cached_property
    def trained(self) -> Controller:
        """The controller that the training made, after its first plan."""
        return _ready(Controller.load(self.found['training']['model']), self.problems[0])

    def answers(self, planner: Callable[..., Plan]) -> dict[str, Any]:
        """What a planner finds on all problems."""
        plans, seconds = [], []
        for x0, goal in self.problems:
            began = time.thread_time()
            plans.append(planner(x0, goal))
            seconds.append(time.thread_time() - began)
        return Answers.of(plans, seconds).record()


def _ready(controller: Controller, problem: tuple[Any, Any]) -> Controller:
    controller.plan(*problem)
    return controller


def compiled(sitting: Sitting) -> dict[str, Any]:
    """CPU seconds to the first plan, on a machine that knows the kernels but not this plant."""
    for name in WARM:
        known = get_system(name)
        Controller.classical(known).plan(known.x0_centre, known.goal_centre)
    kept = is_compiled(sitting.system)
    began = time.thread_time()
    _ = sitting.classical
    return {'seconds': time.thread_time() - began, 'kept': kept}


def classical(sitting: Sitting) -> dict[str, Any]:
    """The classical controller, cold, and what the source publishes of its start."""
    found = sitting.answers(sitting.classical.plan)
    if sitting.exam.published is not None:
        plan = sitting.classical.plan(*sitting.problems[0])
        found['published'] = sitting.exam.published(plan)
    return found


def ipopt(sitting: Sitting) -> dict[str, Any]:
    """IPOPT from several starts; of a free duration, with several first durations."""
    system = sitting.system
    if system.final_time is not None:
        return sitting.answers(lambda x0, goal: nlp.solve(system, x0, goal))
    return sitting.answers(partial(_from_starts, IPOPT_IN_TIME, sitting.system))


def by_fatrop(sitting: Sitting) -> dict[str, Any]:
    """Fatrop from the same starts; it takes no free duration."""
    if sitting.system.final_time is not None:
        return {}
    return sitting.answers(partial(_from_starts, FATROP, sitting.system))


def _from_starts(method: Method, system: System, x0: Array, goal: Array) -> Plan:
    """The best plan that a method finds from several starts, as many as begin within a time.

    Raises:
        ValueError: if the method cannot take the program.
    """
    problem, until = Problem.of(system, x0, goal), time.thread_time() + SECONDS
    plans: list[Plan] = []
    try:
        for _, x, u in starting_points(problem, STARTS):
            if not plans or time.thread_time() < until:
                plans.append(optimise(method, problem, x, u))
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1]
        raise ValueError(f'{method.source} cannot solve {system.name}: {reason:.80}') from error
    return min(plans, key=lambda plan: (not plan.converged, plan.merit))


def sweeps(sitting: Sitting) -> dict[str, Any]:
    """iLQR from many starts, by which local optima are found that IPOPT does not.

    Of a free duration it is the expert by interior-point sweeps.
    """
    if sitting.system.final_time is not None:
        return sitting.answers(lambda x0, goal: free_time.solve(sitting.system, x0, goal))
    many = search if sitting.system.task.constraints else multistart
    return sitting.answers(lambda x0, goal: many.solve(sitting.system, x0, goal))


def loop(sitting: Sitting) -> dict[str, Any]:
    """The closed loop of the classical controller, unless one plan leads to the end."""
    if sitting.exam.once:
        return {}
    return flights(sitting.exam, sitting.classical)


def judged(sitting: Sitting) -> dict[str, Any]:
    """Whether a training may find what the classical controller does not."""
    if passes(sitting.found):
        return {'enough': False, 'why': 'the classical controller is enough'}
    if sitting.system.final_time is not None:
        return {'enough': False, 'why': 'its duration is free, and networks plan a fixed one'}
    if sitting.exam.reference is not None:
        return {'enough': False, 'why': 'its goal moves, which networks are not trained for'}
    found = evidence(sitting.system)
    return {'enough': found.is_enough, 'why': str(found)}


def trained(sitting: Sitting) -> dict[str, Any]:
    """A training, where starts matter."""
    options = sitting.options
    if not sitting.found['evidence'].get('enough'):
        return {}
    seconds, output = 60.0 * options.minutes, options.output / sitting.system.name
    own = training.settings(sitting.system, seconds)
    model, spent = training.train(sitting.exam.path, own, output, seconds)
    return {'model': str(model), 'seconds': spent, 'settings': own}


def network(sitting: Sitting) -> dict[str, Any]:
    """The trained controller, cold."""
    if 'model' not in sitting.found['training']:
        return {}
    return sitting.answers(sitting.trained.plan)


def network_loop(sitting: Sitting) -> dict[str, Any]:
    """The closed loop of the trained controller."""
    if 'model' not in sitting.found['training']:
        return {}
    return flights(sitting.exam, sitting.trained)


UNITS: Mapping[str, Callable[[Sitting], dict[str, Any]]] = {
    'compile': compiled,
    'classical': classical,
    'ipopt': ipopt,
    'fatrop': by_fatrop,
    'sweeps': sweeps,
    'loop': loop,
    'evidence': judged,
    'training': trained,
    'network': network,
    'network loop': network_loop,
}
"""In the order in which they are done; an error of one is kept as its result."""
OF_TRAINING = ('training', 'network', 'network loop')


def sit(path: Path, options: Options) -> dict[str, Any]:
    """Takes an exam, or goes on with it where it was left."""
    kept = options.output / f'{path.stem}.json'
    try:
        began = time.thread_time()
        exam = load(path)
        seconds = time.thread_time() - began
    except Exception as error:  # of somebody's file: shown on the page
        return {'name': path.stem, 'refused': ' '.join(str(error).split())}
    found = _known(kept, exam, options)
    found.setdefault('stated', {'seconds': seconds})
    sitting = Sitting(exam, options, found)
    for name, unit in UNITS.items():
        if name not in found and (options.train or name not in OF_TRAINING):
            found[name] = _result(unit, sitting)
            write_whole(kept, json.dumps(found, indent=1) + '\n')
    return found


def _result(unit: Callable[[Sitting], dict[str, Any]], sitting: Sitting) -> dict[str, Any]:
    """What a unit found and the CPU time it took, or the error that a user would see."""
    began = time.thread_time()
    try:
        with _ended_after(LONGEST):
            found = unit(sitting)
    except Exception as error:  # of a solver or a file: shown on the page, and the others go on
        found = {'error': ' '.join(str(error).split()) or type(error).__name__}
    return {**found, 'CPU s': round(time.thread_time() - began, 2)}


@contextmanager
def _ended_after(seconds: float) -> Iterator[None]:
    """Raises a TimeoutError in what takes more CPU time than that, between two steps of Python.

    Meanwhile the process's own clock may be as coarse as 10 ms; that of the thread is not.
    """
    if threading.current_thread() is not threading.main_thread():  # signals are for that one
        yield
        return

    def end(*_: Any) -> None:
        raise TimeoutError(f'no answer within {seconds:g} s of CPU time')

    before = signal.signal(signal.SIGVTALRM, end)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0.0)
        signal.signal(signal.SIGVTALRM, before)


def _known(kept: Path, exam: Exam, options: Options) -> dict[str, Any]:
    """The units that are done, if they are of this very exam."""
    system = exam.system
    contents = json.dumps([system.contract(), system.digest, options.problems, options.seed])
    head = {
        'name': exam.path.stem,
        'title': exam.title,
        'source': exam.source,
        'sizes': [system.n_x, system.n_u, system.horizon, len(system.task.constraints)],
        'constant': exam.constant,
        'moves': exam.reference is not None,
        'digest': hashlib.sha256(contents.encode()).hexdigest()[:16],
    }
    try:
        before: dict[str, Any] = json.loads(kept.read_text())
    except (FileNotFoundError, ValueError):  # none yet, or cut short
        return head
    return before if before.get('digest') == head['digest'] else head
