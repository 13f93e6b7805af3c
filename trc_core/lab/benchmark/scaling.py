"""The sections about size: batches, cycles, horizons."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from trc_core.checkpoint import Checkpoint, load_checkpoint
from trc_core.compile.kernels import compiled
from trc_core.evaluation.problems import draw_problems, fresh_problems
from trc_core.lab.benchmark.interleaved import InterleavedTiming, TimedPlanner
from trc_core.lab.benchmark.latency import problems
from trc_core.lab.benchmark.options import DEFAULT_SYSTEMS, Options
from trc_core.lab.benchmark.planners import available, exactly
from trc_core.numerics.parallel import cores
from trc_core.planner.controller import Controller
from trc_core.planner.kernels import plan_rows
from trc_core.problem.system import System
from trc_core.progress import progress_bar

BATCH_SYSTEMS = ('double_integrator', 'van_der_pol')
DRAWN = 1024  # problems of a system that draws them with parameters, one by one
BATCH_BACKENDS = ('numba', 'torch')
SCALED = 'van_der_pol'  # or the first of the systems
RUNS, LONG = 5, 3.0  # of a batch; seconds after which one is enough, and larger ones are skipped


def throughput(options: Options, results: dict[str, Any]) -> None:
    """Plans per second by batch: on one core and on all, with early exit and without."""
    detailed = [n for n in options.systems if n in BATCH_SYSTEMS]
    others = [] if options.systems == DEFAULT_SYSTEMS else options.systems
    for name in [n for n in others if n not in BATCH_SYSTEMS]:
        results[name] = _with_own_problems(name, options)
    for name in detailed:
        checkpoint, result = load_checkpoint(name), results.setdefault(name, {})
        for place, chosen in _places(options):
            for kind, factory in BATCHES.items():
                label = f'{place}, {kind}'
                found, absent = available({label: partial(factory, checkpoint, label, **chosen)})
                result.update(absent)
                if found:
                    _by_batch(checkpoint, found[0], options, result.setdefault(label, {}))
        if options.device != 'cpu':
            result[options.device] = _gpu()


def _with_own_problems(name: str, options: Options) -> dict[str, Any]:
    """Plans per second of a system whose problems may have parameters, as far as `DRAWN`."""
    checkpoint = load_checkpoint(name)
    batches = [B for B in options.batches if B <= DRAWN]
    drawn = draw_problems(checkpoint.system, max(batches))
    rows, own = drawn.parameters or [{}], checkpoint.system.parameters
    changed = sorted({key for row in rows for key in row})
    parameters = {k: np.array([row.get(k, own[k]) for row in rows]) for k in changed}
    found = {}
    for threads in sorted({1, cores()}):
        controller = Controller(checkpoint, num_threads=threads)

        def plan(B: int, controller: Controller = controller) -> Any:
            some = {key: values[:B] for key, values in parameters.items()}
            return controller.plan_batch(drawn.x0[:B], drawn.goal[:B], parameters=some)

        label = f'{controller.backend}, {_threads(threads)}, early exit'
        found[label] = _rates(plan, batches, f'{name}: {label}')
    label = f'{controller.backend}, {_threads(threads)}, of a CPU second'
    found[label] = _rates(plan, batches, f'{name}: {label}', time.process_time)
    return found


def _threads(count: int) -> str:
    return f'{count} thread{"s" * (count > 1)}'


def _places(options: Options) -> Iterator[tuple[str, dict[str, Any]]]:
    """Where batches are planned: a label, and the arguments of a planner."""
    for backend in [b for b in options.backends if b in BATCH_BACKENDS]:
        for threads in sorted({1, cores()}):
            yield f'{backend}, {_threads(threads)}', {'backend': backend, 'threads': threads}
    if options.device != 'cpu':
        yield f'torch, {options.device}', {'backend': 'torch', 'device': options.device}


def _gpu() -> str:
    """The name of the GPU, if PyTorch finds one."""
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else 'PyTorch finds no GPU'


def _plan_batch(
    checkpoint: Checkpoint, label: str, backend: str, threads: int = 1, device: str = 'cpu'
) -> TimedPlanner:
    controller = Controller(checkpoint, backend, device, num_threads=threads)
    return TimedPlanner(label, lambda x, goal, _: controller.plan_batch(x, goal))


def _every_cycle(checkpoint: Checkpoint, label: str, backend: str, **place: Any) -> TimedPlanner:
    return exactly(checkpoint, backend, label, **place)


BATCHES: dict[str, Callable[..., TimedPlanner]] = {
    'early exit': _plan_batch,
    'every cycle': _every_cycle,
}


def _by_batch(
    checkpoint: Checkpoint, planner: TimedPlanner, options: Options, result: dict[str, float]
) -> None:
    x0, goal = fresh_problems(checkpoint.system, max(options.batches))
    title = f'{checkpoint.system.name}: {planner.label}'
    result.update(_rates(lambda B: planner.call(x0[:B], goal[:B], None), options.batches, title))


def _rates(
    plan: Callable[[int], Any],
    batches: Sequence[int],
    title: str,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, float]:
    """Plans per second by batch B; larger ones are left out where one takes long."""
    plan(1)
    rates = {}
    for B in progress_bar(batches, title, leave=False):
        seconds: list[float] = []
        while len(seconds) < RUNS and sum(seconds) < LONG:
            began = clock()
            plan(B)
            seconds.append(clock() - began)
        rates[str(B)] = B / float(np.median(seconds))
        if seconds[0] > LONG:
            break
    return rates


def by_cycles(options: Options, results: dict[str, Any]) -> None:
    """Latency and J/J* of K cycles, whatever they gain."""
    checkpoint = load_checkpoint(_scaled(options))
    makers = [exactly(checkpoint, options.backends[0], f'K = {K}', K) for K in options.cycles]
    x0, goal, optimum = problems(checkpoint.system, options.states)
    timing = InterleavedTiming(checkpoint.system, makers, x0, goal, optimum)
    try:
        _run(timing, options, f'{checkpoint.system.name}: cycles')
    finally:
        results['system'], results['by cycles'] = checkpoint.system.name, timing.figures()


def by_horizon(options: Options, results: dict[str, Any]) -> None:
    """Latency of the default cycles over longer horizons, with random weights."""
    shipped = load_checkpoint(_scaled(options))
    rows: dict[str, Any] = results.setdefault('by horizon', {})
    for T in progress_bar(options.horizons, f'{shipped.system.name}: horizons', leave=False):
        system = replace(shipped.system, horizon=T)
        label = f'T = {T}'
        found, absent = available({label: partial(_of_horizon, shipped, system, label, options)})
        results['absent'] = absent
        if absent:
            return
        x0, goal = fresh_problems(system, options.states)
        timing = InterleavedTiming(system, found, x0, goal, np.full(len(x0), np.nan))
        _run(timing, options, label)
        rows.update(timing.figures())
    if options.backends[0] == 'numba':
        kernel: Any = compiled(plan_rows)
        results['compiled'] = len(kernel.signatures)


def _run(timing: InterleavedTiming, options: Options, title: str) -> None:
    rounds = max(1, options.repetitions // 5)
    timing.run(rounds, options.seconds, options.least, title)


def _of_horizon(shipped: Checkpoint, system: System, label: str, options: Options) -> TimedPlanner:
    return exactly(untrained(shipped, system), options.backends[0], label)


def _scaled(options: Options) -> str:
    return SCALED if SCALED in options.systems else options.systems[0]


def untrained(checkpoint: Checkpoint, system: System) -> Checkpoint:
    """Network of the same shape for another horizon, with random weights.

    Raises:
        ModuleNotFoundError: if PyTorch is not installed.
    """
    import torch

    from trc_core.models.plan_representation import for_system
    from trc_core.models.tiny_recursive_control import TinyRecursiveControl

    sizes = ('state_dim', 'control_dim', 'control_horizon', 'control_bounds')
    choices = {name: value for name, value in checkpoint.model.items() if name not in sizes}
    torch.manual_seed(0)
    representation = for_system(system, checkpoint.coordinates)
    model = TinyRecursiveControl.for_system(system, representation, **choices)
    tensors = {name: value.numpy() for name, value in model.state_dict().items()}
    return Checkpoint(tensors, system, model.config.to_dict(), checkpoint.coordinates)
