"""The backend 'onnx': an exported network in ONNX Runtime. Needs neither PyTorch nor `onnx`.

The loop of `kernels.py` runs as plain Python; what it calls is compiled, but for the network.
"""

from __future__ import annotations

import numpy as np

from trc_core.checkpoint import Checkpoint
from trc_core.checkpoint_tensors import problem_dim
from trc_core.compile.binding import plant_of
from trc_core.compile.kernels import compiled
from trc_core.compile.plant import Plant
from trc_core.exported_network import ExportedNetwork
from trc_core.numerics.rollout import Trajectory
from trc_core.planner import kernels
from trc_core.planner.backend import Backend
from trc_core.planner.feature_kernels import empty_features, read_problem
from trc_core.planner.kernels import Model, Problem
from trc_core.planner.network import settings_of
from trc_core.planner.network_kernels import Latents
from trc_core.planner.problems import Problems
from trc_core.planner.rows import Budget, Found
from trc_core.problem.system import Array


class OnnxBackend(Backend):
    """Plans with the exported graph of a checkpoint."""

    adjustable = True

    def __init__(self, checkpoint: Checkpoint, device: str, num_threads: int | None) -> None:
        super().__init__(checkpoint, device, num_threads)
        assert checkpoint.graph is not None
        self.graph = ExportedNetwork(checkpoint.graph, num_threads)
        _require_sizes(checkpoint, self.graph)
        self._model = Model(checkpoint.representation, settings_of(checkpoint), self.graph)
        names = read_problem, kernels.start, kernels.observe, kernels.accept
        self.kernels = tuple(compiled(kernel) for kernel in names)
        self._read_problem, self._start, self._observe, self._accept = self.kernels

    def plan(self, problems: Problems, budget: Budget) -> Found:
        found, requests = self.empty(problems), problems.requests(self.system)
        own = plant = plant_of(self.system)
        begin, refine, model = self._begin, self._refine, self._model
        with np.errstate(invalid='ignore'):  # compiled, infinite costs do not warn either
            for b in range(len(requests.x0)):  # threads would wait for each other's Python
                if b == 0 or problems.differ:
                    own = problems.adjusted(plant, b)
                kernels.plan(begin, refine, own, model, budget, requests, found, b)
        return found

    def _begin(
        self,
        plant: Plant,
        model: Model,
        x0: Array,
        r: Array,
        previous: Array,
        candidates: Trajectory,
        J: Array,
    ) -> tuple[Problem, Latents]:
        """`kernels.begin` with the graph as its network."""
        units, features, _ = self._read_problem(model.rep, x0, r[0], plant.dynamics.p)
        names = ['z_problem', 'z_H_first', 'z_L_first', 'first_plans']
        z, z_H, z_L, outputs = self.graph.run(names, {'problem': features[None]})
        self._start(plant, model.rep, units, outputs[0], x0, r, previous, candidates, J)
        return Problem(r, units, z[0]), Latents(z_H.repeat(len(J), 0), z_L.repeat(len(J), 0))

    def _refine(
        self,
        plant: Plant,
        model: Model,
        problem: Problem,
        latents: Latents,
        trajectory: Trajectory,
        J: float,
        expected: float,
        least: float,
    ) -> tuple[float, bool]:
        """`kernels.refine` with the graph as its network."""
        rep, settings, shape = model.rep, model.settings, trajectory.u.shape
        v, seen = np.empty(shape), empty_features(settings, *shape)
        if not self._observe(plant, rep, settings, problem, trajectory, expected, least, v, seen):
            return J, False
        inputs = {
            'plan': seen.plan[None],
            'consequences': seen.consequences[None],
            'slope': seen.slope.reshape(1, -1).astype(np.float32),
            'z': problem.z_initial[None],
            'z_H': latents.H[None],
            'z_L': latents.L[None],
        }
        names = ['output', 'z_H_next', 'z_L_next']
        (output,), latents.H[:], latents.L[:] = self.graph.run(names, inputs)
        return self._accept(plant, rep, settings, problem, v, output, trajectory, J), True


def _require_sizes(checkpoint: Checkpoint, graph: ExportedNetwork) -> None:
    """Compares what a graph reads and writes with what its record says of the network.

    Raises:
        ValueError: if a size differs; the message names it.
    """
    config, settings, rep = checkpoint.model, settings_of(checkpoint), checkpoint.representation
    latent = config['latent_dim']
    steps = checkpoint.system.horizon * checkpoint.system.n_u
    sizes = {
        'problem': problem_dim(
            checkpoint.system, len(rep.angles), len(rep.inputs), len(rep.goals)
        ),
        'plan': 2 * steps,
        'first_plans': config['plans'] * steps,
        'output': steps,
        **dict.fromkeys(('z', 'z_H', 'z_L', 'z_problem', 'z_H_first', 'z_L_first'), latent),
        **dict.fromkeys(('z_H_next', 'z_L_next'), latent),
    }
    if settings.consequences:
        sizes['consequences'] = settings.consequences
    if settings.gradient:
        sizes['slope'] = steps
    for name, size in sizes.items():
        found = graph.sizes.get(name)
        if found != size:
            raise ValueError(
                f"'{checkpoint.graph}' is not a usable trc checkpoint: {name} of the graph has "
                f'the size {found}, its record needs {size}'
            )
