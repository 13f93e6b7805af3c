"""The backend 'onnx': an exported graph in ONNX Runtime. Needs neither PyTorch nor `onnx`.

It plans what the compiled kernels plan, by the same rules. A graph `plan` is the whole
refinement, roll-outs included; with a graph `cycle` compiled kernels do the physics and the graph
proposes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from trc_core.checkpoint import Checkpoint
from trc_core.planner.backends import Backend, Problems
from trc_core.planner.clock import now
from trc_core.planner.kernels import Budget, Found
from trc_core.planner.onnx_graph import Graph, graph_file
from trc_core.planner.onnx_search import Physics, Search


class OnnxBackend(Backend):
    """Plans with the graph of a checkpoint; exports it first where that has not been done."""

    def __init__(self, checkpoint: Checkpoint, device: str, num_threads: int | None) -> None:
        super().__init__(checkpoint, device, num_threads)
        self.graph = Graph(graph_file(checkpoint), num_threads)
        self._planner = PLANNERS[self.graph.kind](checkpoint, self.graph, num_threads)
        self.kernels = self._planner.kernels

    def plan(self, problems: Problems, budget: Budget) -> Found:
        found = self.empty(problems)
        self._planner.plan(problems, budget, found)
        return found


class WholePlans:
    """All of a plan call inside the graph.

    A deadline is kept by asking for no more cycles than would fit, by the time of the longest.

    Raises:
        ValueError: if the plant's parameters are not those that the graph was made for.
    """

    def __init__(self, checkpoint: Checkpoint, graph: Graph, num_threads: int | None) -> None:
        given = dict(checkpoint.system.parameters)
        if given != graph.record['system']['parameters']:
            raise ValueError(
                f'the roll-outs inside this graph are those of a plant with '
                f"{graph.record['system']['parameters']}, not {given}: load the checkpoint's "
                f'.safetensors file with these parameters'
            )
        self.graph = graph
        self.kernels: tuple[Callable[..., Any], ...] = ()

    def plan(self, problems: Problems, budget: Budget, found: Found) -> None:
        """Fills `found`."""
        began = now()
        x0, goal, previous, narrow, *_ = problems
        B = len(x0)
        cycles, left = budget.cycles, budget.deadline - began
        if left < budget.cycles * budget.seconds or left <= 0:
            cycles = int(max(left, 0.0) / budget.seconds) if budget.seconds > 0 else 0
        inputs = {
            'x0': x0,
            'goal': goal,
            'previous': np.empty((B, 0)) if previous is None else previous.reshape(B, -1),
            'narrow': np.zeros(B, dtype=np.bool_) if narrow is None else narrow,
            'cycles': np.array(cycles),
            'tolerance': np.array(budget.tolerance),
        }
        names = ['x', 'u', 'J', 'start', 'spent', 'starts']
        x, u, *rest = self.graph.run(names, inputs)
        found.x[:], found.u[:] = x.reshape(found.x.shape), u.reshape(found.u.shape)
        found.J[:], found.start[:], found.cycles[:], found.starts[:] = rest
        found.seconds[:] = max(budget.seconds, (now() - began) / max(1, found.cycles.max()))


class Cycles:
    """The network in the graph, the physics in compiled kernels.

    A cycle refines every row that has something left to gain, all at once; a deadline is looked
    at between cycles.
    """

    def __init__(self, checkpoint: Checkpoint, graph: Graph, num_threads: int | None) -> None:
        self.graph, self.beam = graph, checkpoint.model['beam']
        self.physics = Physics(checkpoint, num_threads)
        self.kernels = self.physics.kernels

    def plan(self, problems: Problems, budget: Budget, found: Found) -> None:
        """Fills `found`."""
        search = Search(self.graph, self.physics, problems, found)
        seconds, cycles = budget.seconds, 0
        while cycles < budget.cycles:
            began = now()
            if began + seconds > budget.deadline:
                break
            search.keep(self.beam[min(cycles, len(self.beam) - 1)])
            if cycles == 0 and problems.narrow is not None and problems.previous is not None:
                search.narrow(problems.narrow)
            if not search.refine(budget.tolerance):
                break
            cycles += 1
            seconds = max(seconds, now() - began)
        search.finish()
        found.seconds[:] = seconds


PLANNERS: dict[str, type[WholePlans] | type[Cycles]] = {'plan': WholePlans, 'cycle': Cycles}
