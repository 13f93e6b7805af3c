"""Compiled against eager: J of a batch of plans and its gradient, interleaved in one run.

python benchmarks/rollout_cost.py [--system van_der_pol] [--batch 128] [--rounds 20]
"""

from __future__ import annotations

import argparse
import os
import time

import numpy as np
import torch

from trc_core.models.plan_representation import stabilised
from trc_core.models.simulation import SystemDynamics, TorchDynamics
from trc_core.systems import get_system


def main() -> None:
    """Prints the median milliseconds of both and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--system', default='van_der_pol')
    parser.add_argument('--batch', type=int, default=128)
    parser.add_argument('--rounds', type=int, default=20)
    options = parser.parse_args()
    system, rng = get_system(options.system), np.random.default_rng(0)
    x0, goal = map(torch.from_numpy, system.sample(rng, options.batch))
    v = 0.1 * torch.randn(options.batch, system.horizon, system.n_u, dtype=torch.float64)
    representation = stabilised(system)
    contenders = {
        'eager': TorchDynamics(representation, system),
        'compiled': SystemDynamics(representation, system),
    }
    found = {name: dynamics.simulate(v, x0, goal) for name, dynamics in contenders.items()}
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(options.rounds):
        for name, dynamics in contenders.items():
            started = time.perf_counter()
            dynamics.simulate(v, x0, goal)
            seconds[name].append(time.perf_counter() - started)
    median = {name: 1e3 * float(np.median(values)) for name, values in seconds.items()}
    worst = (found['eager'].gradient - found['compiled'].gradient).abs().max()
    print(f'{system.name}, batch {options.batch}, T {system.horizon}: trajectory, J and dJ/dv')
    print(f'load {os.getloadavg()[0]:.1f}, {torch.get_num_threads()} PyTorch threads')
    print(f'eager {median["eager"]:.2f} ms, compiled {median["compiled"]:.2f} ms')
    print(f'ratio {median["eager"] / median["compiled"]:.1f}, largest difference {worst:.1e}')


if __name__ == '__main__':
    main()
