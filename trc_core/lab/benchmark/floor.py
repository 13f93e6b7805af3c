"""The network part of a cycle against the rate at which its weights come out of the cache."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cache, partial
from typing import Any

import numpy as np
from numba import njit

from trc_core.checkpoint import Checkpoint, load_checkpoint
from trc_core.lab.benchmark.options import Options
from trc_core.planner.feature_kernels import empty_features
from trc_core.planner.network import (
    BLOCK_ROWS,
    BLOCKS,
    CONTROL,
    DECODER_HIDDEN,
    DECODER_OUTPUT,
    ERROR_HIDDEN,
    ERROR_OUTPUT,
    MLP_INPUT,
    MLP_OUTPUT,
    Network,
    aligned,
    network_of,
    settings_of,
)
from trc_core.planner.network_kernels import Latents, propose
from trc_core.progress import progress_bar

FASTMATH = {'reassoc', 'contract', 'arcp', 'nsz'}  # as everything that flies is compiled
ROUNDS, SECONDS = 100, 2e-3
ONCE = (CONTROL, ERROR_HIDDEN, ERROR_OUTPUT, DECODER_HIDDEN, DECODER_OUTPUT)


def network_floor(options: Options, results: dict[str, Any]) -> None:
    """Time of the network part beside that of streaming the weights that it reads, by system.

    Of both the least of many interleaved measurements: what disturbs them only adds.
    """
    for name in progress_bar(options.systems, 'floor', leave=False):
        checkpoint = load_checkpoint(name)
        net = network_of(checkpoint)
        copy = aligned(net.weights.size)
        copy[:] = net.weights
        stream = _per_run(partial(_stream(), copy))
        network = _per_run(_network_part(checkpoint, net))
        best = [min(samples) for samples in _interleaved(stream, network)]
        rate = net.weights.nbytes / best[0]
        read = bytes_read(net)
        results[name] = {
            'weights': sum(int(outputs * (inputs + 1)) for _, outputs, inputs, _ in net.layout),
            'bytes read': read,
            'bytes per second': rate,
            'floor_us': 1e6 * read / rate,
            'network_us': 1e6 * best[1],
            'times': best[1] * rate / read,
        }


def bytes_read(net: Network) -> int:
    """Bytes of the weights of one cycle, counted as often as they are read."""
    level = [
        BLOCKS + BLOCK_ROWS * k + row for k in range(net.blocks) for row in (MLP_INPUT, MLP_OUTPUT)
    ]
    passes = net.inner_cycles + 1 if net.two_level else net.inner_cycles
    rows = [*ONCE, *level * passes]
    return 4 * sum(int(outputs * inputs) for _, outputs, inputs, _ in net.layout[rows])


def _per_run(run: Callable[[int], Any]) -> Callable[[], float]:
    """Seconds of one repetition of `run(n)`, with n such that it takes `SECONDS`."""
    run(1)
    n = 1
    while True:
        began = time.perf_counter()
        run(n)
        if (spent := time.perf_counter() - began) > SECONDS:
            break
        n = max(n + 1, int(1.2 * n * SECONDS / max(spent, SECONDS / 10)))

    def seconds() -> float:
        began = time.perf_counter()
        run(n)
        return (time.perf_counter() - began) / n

    return seconds


def _interleaved(*timers: Callable[[], float]) -> list[list[float]]:
    samples: list[list[float]] = [[] for _ in timers]
    for _ in range(ROUNDS):
        for own, timer in zip(samples, timers, strict=True):
            own.append(timer())
    return samples


def _network_part(checkpoint: Checkpoint, net: Network) -> Callable[[int], Any]:
    """`run(n)`: n proposals for features of ones."""
    T, n_u = checkpoint.system.horizon, checkpoint.system.n_u
    seen = empty_features(settings_of(checkpoint), T, n_u)
    for feature in seen:
        feature[:] = 1.0
    latents, z_initial = Latents(net.H_init.copy(), net.L_init.copy()), np.ones_like(net.H_init)
    output, repeated = np.empty(T * n_u, np.float32), _repeated_proposals()
    return lambda n: repeated(net, seen, z_initial, latents, output, n)


@cache
def _stream() -> Any:
    @njit(fastmath=FASTMATH)
    def stream(weights: Any, n: int) -> float:
        total = 0.0
        for k in range(n):
            part = np.float32(0.0)
            for i in range(weights.shape[0]):
                part += weights[i]
            total += part
            weights[k % weights.shape[0]] = part  # so that no pass can be left out
        return total

    return stream


@cache
def _repeated_proposals() -> Any:
    @njit(fastmath=FASTMATH)
    def repeated(net: Any, seen: Any, z_initial: Any, latents: Any, output: Any, n: int) -> None:
        for _ in range(n):
            propose(net, seen, z_initial, latents, output)

    return repeated
