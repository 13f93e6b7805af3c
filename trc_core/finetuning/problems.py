"""Scenarios of fine-tuning: plants, starts and goals, drawn anew or held for validation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trc_core.finetuning.config import FinetuneConfig
from trc_core.finetuning.flights import CostToGo, Explore, FlightRecord, Planner, Start, fly
from trc_core.planner.controller import Controller
from trc_core.problem.system import Array
from trc_core.simulation.fleet import BlackBox, Draw, Fleet, ModelMismatch
from trc_core.simulation.gymnasium_plant import GymnasiumFleet
from trc_core.systems import System

VALIDATION_SEED, TEST_SEED = 7_100_000, 9_100_000  # no iteration draws from these
SUBSTREAMS = 3  # plants and starts, measurement noise, disturbances


@dataclass(frozen=True)
class Scenario:
    """B plants to be flown, with their starts and goals."""

    plant: BlackBox
    start: Start
    nominal: NDArray[np.bool_]
    """(B,), which plants are the model itself."""


@dataclass(frozen=True)
class Validation:
    """Closed-loop costs of a controller."""

    mismatched: Array
    """Costs on plants that differ from the model (N,)."""
    nominal: Array
    """Costs on the model itself (N,)."""


class Problems:
    """Draws scenarios as a config says.

    Args:
        config: settings of the run.
        system: the model.
    """

    def __init__(self, config: FinetuneConfig, system: System) -> None:
        self.config, self.system = config, system
        self.cost_to_go = CostToGo(system)
        self.ticks = max(1, round(config.horizons * system.horizon))

    def drawn(self, iteration: int) -> Scenario:
        """The flights of an iteration: groups, of which the first few fly the model itself."""
        config = self.config
        seeds = np.random.SeedSequence([config.seed, iteration]).generate_state(SUBSTREAMS)
        nominal = round(config.nominal_share * config.groups)
        growth = config.curriculum * config.iterations
        share = 1.0 if iteration >= growth else (iteration + 1) / (growth + 1)
        return self._scenario(config.groups, nominal, config.members, seeds, share)

    def held(self, count: int, seed: int) -> Scenario:
        """`count` flights on plants that differ, the same at every call."""
        seeds = np.random.SeedSequence(seed).generate_state(SUBSTREAMS)
        return self._scenario(count, 0, 1, seeds)

    def held_nominal(self, count: int, seed: int) -> Scenario:
        """`count` flights on the model itself, exactly measured, the same at every call."""
        rng = np.random.default_rng(seed)
        x0, goal = self.system.sample(rng, count)
        draw = Draw.of(self.system, ModelMismatch(), count, rng)
        return Scenario(Fleet(self.system, draw), Start(x0, goal), np.ones(count, dtype=np.bool_))

    def validate(self, controller: Controller) -> Validation:
        """Flies a controller through the validation flights."""
        count = self.config.validation_flights
        planner = planner_of(controller)
        mismatched = self.fly(planner, self.held(count, VALIDATION_SEED))
        nominal = self.fly(planner, self.held_nominal(count, VALIDATION_SEED))
        return Validation(mismatched.total, nominal.total)

    def fly(
        self,
        planner: Planner,
        scenario: Scenario,
        explore: Explore | None = None,
        horizons: float = 1.0,
    ) -> FlightRecord:
        """Flies a scenario, `horizons` times as long as the config's flights.

        Exploring flights end where they are lost: what comes then teaches nothing.
        """
        is_lost = None if explore is None else self.cost_to_go.is_lost
        ticks = max(1, round(horizons * self.ticks))
        return fly(planner, scenario.plant, self.system, scenario.start, ticks, explore, is_lost)

    def _scenario(
        self, groups: int, nominal: int, members: int, seeds: Any, share: float = 1.0
    ) -> Scenario:
        config, system = self.config, self.system
        rng = np.random.default_rng(seeds[0])
        x0, goal = (np.repeat(a, members, axis=0) for a in system.sample(rng, groups))
        start = Start(x0, goal, config.noise, int(seeds[1]), members)
        is_nominal = np.arange(groups * members) < nominal * members
        if config.environment:
            plant = GymnasiumFleet(system, config.environment, len(x0), int(seeds[2]), members)
            return Scenario(plant, start, np.zeros(len(x0), dtype=np.bool_))
        draw = Draw.of(system, config.mismatch, groups, rng, members, share)
        draw = draw.where(is_nominal, Draw.of(system, ModelMismatch(), groups, rng, members))
        seed = int(seeds[2])
        fleet = Fleet(system, draw, config.substeps, seed, members, config.physics)
        return Scenario(fleet, start, is_nominal)


def planner_of(controller: Controller) -> Planner:
    """The planner of a controller."""
    return lambda x, goal, plan, commands: controller.plan_batch(
        x, goal, plan, issued=commands[-1] if commands else None
    )
