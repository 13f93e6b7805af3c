"""A whole plan call as one graph: the algorithm of `runtime/kernels.py`, guard included.

It refines all candidates of all problems at once; a test holds the two together.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from trc_core.checkpoint import Checkpoint
from trc_core.export.builder import Builder, Value
from trc_core.export.network_graph import NetworkGraph
from trc_core.export.physics_graph import Plant, Units

DOUBLE = np.float64


class Problem(NamedTuple):
    """What stays fixed while plans are refined; rows as `physics_graph` has them."""

    e0: Value
    drift: Value
    s: Value
    z: Value

    def rows(self, rows: Value) -> Problem:
        """Some of them, by index."""
        return Problem(*(value.rows(rows) for value in self))


class Candidates(NamedTuple):
    """W plans for each of B problems: the first fields have B W rows, the others are (B, W)."""

    e: Value
    u: Value
    high: Value
    """Latents z_H."""
    low: Value
    """Latents z_L."""
    J: Value
    number: Value
    open: Value
    """Whether it may be refined."""
    gain: Value
    """What its last cycle took off J."""

    def pick(self, best: Value, rows: Value) -> Candidates:
        """Some of them, by column `best` (B, w) and by row (B w,)."""
        add = best.builder.add
        columns = (add('GatherElements', value, best, axis=1) for value in self[4:])
        return Candidates(*(value.rows(rows) for value in self[:4]), *columns)


class WholePlan:
    """Adds a plan call to a graph; `physics_graph.fits` says for which models.

    Inputs: `x0` and `goal` (B, n_x); `previous` (B, T n_u), a plan v that is one more candidate,
    or (B, 0); `narrow` (B,), where nothing but `previous` is refined if it is the cheapest;
    `cycles`, the most of them; `tolerance`, the share of J that a cycle must promise to gain.
    Outputs: `x` (B, (T + 1) n_x), `u` (B, T n_u), `J`, the candidate `start` that the plan grew
    from and the cycles `spent`, all (B,), and `starts` (B, N), the cost of every candidate.
    """

    def __init__(self, builder: Builder, checkpoint: Checkpoint) -> None:
        system = checkpoint.system
        self.builder, self.add, self.system = builder, builder.add, system
        self.network = NetworkGraph(builder, checkpoint)
        self.plant, self.units = Plant(builder, checkpoint), Units(builder, checkpoint)
        self.K_start = checkpoint.representation.K_start[0]
        self.residual = checkpoint.model['use_residual_decoder']
        self.steps = system.horizon * system.n_u
        self.x0 = builder.input('x0', DOUBLE, ('B', system.n_x))
        self.goal = builder.input('goal', DOUBLE, ('B', system.n_x))
        self.previous = builder.input('previous', DOUBLE, ('B', 'P'))
        self.is_narrow = builder.input('narrow', np.bool_, ('B',))
        self.cycles = builder.input('cycles', np.int64, ())
        self.tolerance = builder.input('tolerance', DOUBLE, ())
        self.first_row = self._range(self._length(self.x0, 0)).reshape(-1, 1)  # (B, 1)

    def build(self) -> None:
        """Adds all nodes and outputs."""
        candidates, problem = self._start()
        starts, spent = candidates.J, self.first_row * 0

        def cycle(k: Value, *carried: Value) -> tuple[Value, list[Value]]:
            kept = self._keep(Candidates(*carried[:-1]), self._width(k))
            refined, wanted, go = self._refine(kept, problem)
            done = self.add('ReduceMax', wanted.cast(np.int64), np.array([1]))
            return go, [*refined, carried[-1] + done]

        *found, spent = self.builder.loop(self.cycles, [*candidates, spent], cycle)
        best = self._keep(Candidates(*found), self.builder.constant([1], np.int64))
        n_x, T, output = self.system.n_x, self.system.horizon, self.builder.output
        later = best.e.columns(n_x, (T + 1) * n_x) + self.goal @ np.tile(np.eye(n_x), T)
        output('x', self.builder.concat([self.x0, later]), ('B', (T + 1) * n_x))
        output('u', best.u, ('B', self.steps))
        for name, value in (('J', best.J), ('start', best.number), ('spent', spent)):
            output(name, value.reshape(-1), ('B',))
        output('starts', starts, ('B', 'N'))

    def _start(self) -> tuple[Candidates, Problem]:
        """The clipped LQR plan, the network's first plans, and `previous` if there is one."""
        plant, builder = self.plant, self.builder
        e0 = self.x0 - self.goal
        s = self.units.size(e0)
        z, z_H, z_L = self.network.encode(self.units.problem(e0, s))
        problem = Problem(e0, plant.drift(self.goal), s, z)
        first = self.network.first_plans(z, z_H).cast(DOUBLE).reshape(-1, self.steps)
        v = (first @ self.units.step).reshape(-1, self.network.net.plans * self.steps) * s
        v = builder.concat([v, self.previous])
        count = self.add('Div', self._length(v, 1), self.steps)
        own = self._range(count).reshape(1, -1) + self.first_row * 0  # (B, N - 1)
        rows = problem.rows((own * 0 + self.first_row).reshape(-1))
        nothing = (z * 0.0).cast(DOUBLE).columns(0, 1) * np.zeros((1, self.steps))
        lqr = plant.rollout(self.K_start, nothing, e0, problem.drift)
        flown = plant.rollout(plant.K, v.reshape(-1, self.steps), rows.e0, rows.drift)
        B = self._length(self.x0, 0)
        order = builder.concat([self.first_row, own + self.first_row * count + B])  # (B, N)
        number = builder.concat([self.first_row * 0, own + 1])
        e, u, J = (
            builder.concat(pair, axis=0).rows(order.reshape(-1))
            for pair in zip(lqr, flown, strict=True)
        )
        J = self._finite(J.like(number))
        of_problem = (number * 0 + self.first_row).reshape(-1)
        gain = builder.where(number < 0, J, np.inf)
        candidates = Candidates(
            e,
            u,
            z_H.rows(of_problem),
            z_L.rows(of_problem),
            J,
            number,
            self._open(J, number),
            gain,
        )
        return candidates, problem

    def _finite(self, J: Value) -> Value:
        """J, infinite where it is not a number."""
        return self.builder.where(~self.add('IsNaN', J, dtype=bool), J, np.inf)

    def _open(self, J: Value, number: Value) -> Value:
        """All candidates; the last alone where the problem is narrow and it is the cheapest."""
        winner = self.add('ArgMin', J, axis=1, dtype=np.int64)
        last = self._length(J, 1) - 1
        return ~(self.is_narrow.reshape(-1, 1) & winner.equals(last)) | number.equals(winner)

    def _width(self, k: Value) -> Value:
        """How many candidates cycle k refines, (1,)."""
        beam = self.builder.constant(self.network.net.beam, np.int64)
        last = len(self.network.net.beam) - 1
        return beam.rows(self.add('Min', k, last)).reshape(1)

    def _keep(self, candidates: Candidates, width: Value) -> Candidates:
        """The cheapest of every problem, in order; the earlier where two are equal."""
        J = candidates.J
        there = self._length(J, 1)
        inputs, dtypes = [J, self.add('Min', width, there.reshape(1))], [DOUBLE, np.int64]
        _, best = self.builder.nodes_of('TopK', inputs, dtypes, axis=1, largest=0)
        return candidates.pick(best, (best + self.first_row * there).reshape(-1))

    def _refine(self, candidates: Candidates, problem: Problem) -> tuple[Candidates, Value, Value]:
        """A cycle; also which (B, W) of the candidates it refined, and whether any."""
        where, plant = self.builder.where, self.plant
        e, u, J = candidates.e, candidates.u, candidates.J
        mine = problem.rows((candidates.number * 0 + self.first_row).reshape(-1))
        v, slope, promise = plant.reprojected(e, u), None, candidates.gain
        if self.network.net.gradient:
            preconditioned = plant.gradient(e, u) @ self.units.slope
            newton = ((preconditioned * preconditioned).sum(1) / 4.0).like(J)
            promise = self.add('Min', promise, newton)
            slope = preconditioned / mine.s
        wanted = candidates.open & ~(promise < J * self.tolerance)
        before = list(candidates[:5])
        go = wanted.any()
        e, u, high, low, J = self.builder.branch(
            go, lambda: self._advance(candidates, mine, v, slope, wanted), before
        )
        gain = where(wanted, candidates.J - J, candidates.gain)
        refined = Candidates(e, u, high, low, J, candidates.number, wanted, gain)
        return refined, wanted, go

    def _advance(
        self, candidates: Candidates, mine: Problem, v: Value, slope: Value | None, wanted: Value
    ) -> list[Value]:
        """What the network wants, or a quarter of it, where that lowers J."""
        builder, plant = self.builder, self.plant
        e, u, z_H, z_L, J = candidates[:5]
        output, z_H, z_L = self.network.propose(
            self.units.plan(v, u, mine.s),
            self.units.consequences(e, slope, mine.s),
            None if slope is None else slope.cast(np.float32),
            mine.z,
            z_H,
            z_L,
        )
        change = output.cast(DOUBLE) @ self.units.step * mine.s
        change = change if self.residual else change - v
        twice = [builder.concat([a, a], axis=0) for a in (mine.e0, mine.drift)]
        trials = builder.concat([v + change, v + change * 0.25], axis=0)
        flown = plant.rollout(plant.K, trials, *twice)
        full, quarter = zip(*(value.split(2, axis=0) for value in flown), strict=True)
        old, allowed = J.reshape(-1, 1), wanted.reshape(-1, 1)
        takes_full, takes_quarter = ((t[2] < old) & allowed for t in (full, quarter))
        e, u, new = (
            builder.where(takes_full, a, builder.where(takes_quarter, b, c))
            for a, b, c in zip(full, quarter, (e, u, old), strict=True)
        )
        return [e, u, z_H, z_L, new.like(J)]

    def _range(self, count: Value) -> Value:
        """0 .. count - 1."""
        ends = [self.builder.constant(0, np.int64), count, self.builder.constant(1, np.int64)]
        return self.builder.nodes_of('Range', ends, [np.int64])[0]

    def _length(self, value: Value, axis: int) -> Value:
        """Of an axis, as a scalar."""
        return value.shape.rows(self.builder.constant(axis, np.int64))
