"""Damaged checkpoints: files of which one place is not what it was, and what becomes of them."""

import copy
import json
import random
import shutil
import sys
from collections import Counter

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save_file

from tests.crane_flight import START
from tests.old_checkpoints import read_record
from trc_core import Controller
from trc_core.checkpoint import RECORD, load_checkpoint

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
NUMBERS = (0.0, -1.0, 1e-30, 3.0, 1e4, -1e4, 1e38, -1e38)  # that a weight may well be
TYPES = ('float16', 'float32', 'float64', 'int8', 'int32', 'int64', 'uint8', 'bool')
SMALL = 12  # bytes that are changed at once, at most


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


def damaged_record(record, rng):
    """A copy with one value deleted, doubled, moved or replaced."""
    record = copy.deepcopy(record)
    part = rng.choice([*record, 'system', 'system', 'system', 'model'])
    owner, *path = record, *rng.choice([at for at in places(record) if at and at[0] == part])
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


def without(tensors, name, rng):
    del tensors[name]


def renamed(tensors, name, rng):
    tensors[name[:-1]] = tensors.pop(name)


def swapped(tensors, name, rng):
    other = rng.choice(list(tensors))
    tensors[name], tensors[other] = tensors[other], tensors[name]


def retyped(tensors, name, rng):
    with np.errstate(all='ignore'):
        tensors[name] = tensors[name].astype(rng.choice(TYPES))


def reshaped(tensors, name, rng):
    value = tensors[name]
    axis = rng.randrange(value.ndim) if value.ndim else None
    tensors[name] = rng.choice(
        [
            value.T,
            value.ravel(),
            value[None],
            np.repeat(value, 2, axis),
            value.ravel()[: value.size // 2],
            value[..., :0] if value.ndim else value.reshape(1)[:0],
            np.resize(value, (value.size + 1,)),
            np.resize(value, [size + 1 for size in value.shape]),
        ]
    )


def no_number(tensors, name, rng):
    if tensors[name].size and tensors[name].dtype.kind == 'f':
        tensors[name].flat[rng.randrange(tensors[name].size)] = rng.choice([np.nan, np.inf])
    else:
        without(tensors, name, rng)


def another_number(tensors, name, rng):
    if tensors[name].dtype.kind == 'i':
        another_place(tensors, name, rng)
    elif tensors[name].size:
        place = rng.choice([rng.randrange(tensors[name].size), slice(None)])
        tensors[name].flat[place] = rng.choice(NUMBERS)


def another_place(tensors, name, rng):
    name = rng.choice(['representation.angles', 'representation.mirror'])
    shape = rng.choice([tensors[name].shape, (1,), (2,)])
    tensors[name] = np.full(shape, rng.choice([-(2**62), -2, -1, 0, 3, 4, 2**62]))


WAYS = {  # what is done to tensors, and whether what is left may be another controller
    without: False,
    renamed: False,
    retyped: False,
    no_number: False,
    reshaped: True,  # matrices that are square
    swapped: True,  # two of the same shape
    another_number: True,
    another_place: True,
}


def damaged_file(content, rng):
    """Bytes of a file, cut, changed, zeroed or gone on with."""
    place, size = rng.randrange(len(content)), rng.randrange(1, SMALL)
    if rng.random() < 0.5:
        place = rng.randrange(min(len(content), 4000))  # the header is where shapes are
    junk = bytes(rng.randrange(256) for _ in range(size))
    return rng.choice(
        [
            content[:place],
            content[:place] + junk + content[place + size :],
            content[:place] + bytes(size) + content[place + size :],
            content[:place] + junk + content[place:],
            content + junk,
            content[:place]
            + bytes([content[place] ^ 1 << rng.randrange(8)])
            + content[place + 1 :],
        ]
    )


def outcomes(whole, path, count, first=0):
    """How many of `count` damaged copies, written to `path`, came to which end, by what was done.

    The equations of every other record are compared with those of the whole file, as if its user
    had given them.
    """
    record, given = read_record(whole), load_checkpoint(whole).system
    with safe_open(whole, framework='numpy') as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    with open(whole, 'rb') as file:
        content = file.read()
    good = gone_on(Controller.load(whole))
    shutil.copy(whole, path)
    found = Counter()
    for seed in range(first, first + count):
        rng, kind = random.Random(seed), ('record', 'tensors', 'file')[seed % 3]
        print(seed, file=sys.stderr, flush=True)  # the last one, where a case ends this process
        free, own = True, given
        if kind == 'file':
            with open(path, 'wb') as file:
                file.write(damaged_file(content, rng))
            free = False
        elif kind == 'record':
            own = rng.choice([given, None])
            metadata = {RECORD: json.dumps(damaged_record(record, rng))}
            save_file(tensors, path, metadata=metadata)
        else:
            way, changed = rng.choice(list(WAYS)), {k: a.copy() for k, a in tensors.items()}
            way(changed, rng.choice(list(tensors)), rng)
            changed = {name: np.array(a, order='C') for name, a in changed.items()}
            save_file(changed, path, metadata={RECORD: json.dumps(record)})
            kind, free = f'{kind} {way.__name__}', WAYS[way]
        found[f'{kind}: {outcome(path, own, good, free)}'] += 1
    return found


def gone_on(controller):
    """A plan that goes on from the first candidate: others try what needs no network, too."""
    system = controller.system
    x, goal = np.resize(START, system.n_x), np.zeros(system.n_x)
    return controller.plan(x, goal, warm_start=controller.lqr_plan(x, goal), elapsed=0.0)


def outcome(path, given, good, free):
    """The end of one file.

    A file of which only numbers are others is another controller or another problem: its plan has
    to be one, finite and within the bounds.
    """
    try:
        controller = Controller.load(path, system=given)
    except ValueError as error:
        one_line = str(error).startswith(f"'{path}' is not") and '\n' not in str(error)
        return 'refused' if one_line and len(str(error)) < 700 else f'refused badly: {error}'
    system = controller.system
    plan = gone_on(controller)
    if np.array_equal(plan.controls, good.controls) and plan.cost == good.cost:
        return 'equal'
    if not free:
        return f'another plan: {plan.cost}'
    inside = np.all(plan.controls >= system.u_min) and np.all(plan.controls <= system.u_max)
    if plan.controls.shape != (system.horizon, system.n_u) or not inside:
        return f'no plan: {plan.controls.ravel()[:3]}, {plan.cost}'
    return 'another plan' if np.isfinite(plan.cost) else 'infinite cost'
