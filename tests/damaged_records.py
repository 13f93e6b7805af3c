"""Damaged records: checkpoints of which one place of the record is not what it was."""

import copy
import random
import shutil
from collections import Counter

import numpy as np

from tests.crane_flight import START
from tests.old_checkpoints import read_record, write_record
from trc_core import Controller
from trc_core.checkpoint import load_checkpoint

PARTS = ('system', 'coordinates', 'format')
JUNK = (
    *(None, True, -1, 0, 1, 3, 7, 1.5, 1e-300, 10**6, 10**12, 10**400, -1e308),
    *(
        float('nan'),
        float('inf'),
        '',
        'x',
        'mul',
        'dynamics',
        'input',
        [],
        [1],
        {},
        {'a': 1},
        [[0.0]],
    ),
)


def places(value, at=()):
    """The path of every value in a record."""
    yield at
    items = ()
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list):
        items = enumerate(value)
    for key, inner in items:
        yield from places(inner, (*at, key))


def damaged(record, rng):
    """A copy with one value deleted, doubled, moved or replaced."""
    record = copy.deepcopy(record)
    owner, *path = record, *rng.choice([at for at in places(record) if at and at[0] in PARTS])
    for key in path[:-1]:
        owner = owner[key]
    key, way = path[-1], rng.random()
    if way < 0.15:
        del owner[key]
    elif way < 0.3 and isinstance(owner, list):
        owner.insert(key, owner[key])
    elif way < 0.45 and isinstance(owner, list):
        rng.shuffle(owner)
    elif way < 0.45:
        pairs = rng.sample(list(owner.items()), len(owner))
        owner.clear()
        owner.update(pairs)
    else:
        owner[key] = rng.choice(JUNK)
    return record


def outcomes(whole, path, count):
    """How many of `count` damaged copies, written to `path`, came to which end.

    The equations are compared with those of the whole file, as if its user had given them.
    """
    record, given = read_record(whole), load_checkpoint(whole).system
    good = Controller.load(whole).plan(START, np.zeros(4))
    shutil.copy(whole, path)
    found = Counter()
    for seed in range(count):
        write_record(path, damaged(record, random.Random(seed)))
        found[outcome(path, given, good)] += 1
    return found


def outcome(path, given, good):
    """The end of one file; a plan of the same problem that differs is none of the good ones."""
    try:
        controller = Controller.load(path, system=given)
    except ValueError as error:
        one_line = str(error).startswith(f"'{path}' is not") and '\n' not in str(error)
        return 'refused' if one_line and len(str(error)) < 700 else f'refused badly: {error}'
    plan = controller.plan(START, np.zeros(4))
    if np.array_equal(plan.controls, good.controls) and plan.cost == good.cost:
        return 'equal'
    other = controller.system.contract() != given.contract()
    return 'another problem' if other else f'another plan: {plan.cost}'
