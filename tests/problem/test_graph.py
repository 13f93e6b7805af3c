"""Expression graphs: records that are trusted with nothing, and readers that agree."""

import copy
import ctypes
import json
import math
import random

import casadi as ca
import numpy as np
import pytest
import torch

from tests.random_graphs import random_graph
from trc_core.compile.casadi_reader import CASADI
from trc_core.compile.machine_code import machine_code
from trc_core.compile.torch_reader import TORCH
from trc_core.problem.graph import LONGEST, NUMPY, OPERANDS, Graph
from trc_core.systems import SYSTEMS

GRAPHS = range(25)
EXAMPLE = {  # that of the module: [x1, 9.81 sin(x0)]
    'inputs': {'x': 2},
    'instructions': [['input', 0], ['input', 1], ['sin', 0], ['constant', 9.81], ['mul', 3, 2]],
    'outputs': {'dx': [1, 4]},
}


@pytest.fixture(autouse=True)
def cache_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setenv('TRC_CACHE_DIR', str(tmp_path))


def example(**parts):
    return {**copy.deepcopy(EXAMPLE), **parts}


def in_machine_code(graph, values):
    """The outputs, by name, of a graph in machine code at one point."""
    code = machine_code('test ' + graph.digest, lambda: {'f': graph})
    rows = np.split(np.array(values, dtype=float), np.cumsum([*graph.inputs.values()])[:-1])
    rows += [np.full(len(places), np.nan) for places in graph.outputs.values()]
    call = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * len(rows))(code.addresses['f'])
    call(*[row.ctypes.data for row in rows])
    return dict(zip(graph.outputs, rows[len(graph.inputs) :], strict=True))


def operation(name):
    """The graph of a single operation on the first inputs."""
    count = OPERANDS[name]
    inputs = [('input', k) for k in range(count)]
    return Graph({'x': count}, [*inputs, (name, *range(count))], {'y': [count]})


def test_a_graph_is_evaluated_instruction_by_instruction():
    graph = Graph.from_record(EXAMPLE)
    assert graph.evaluate([0.3, 2.0]) == {'dx': [2.0, pytest.approx(9.81 * math.sin(0.3))]}
    x = np.linspace(0, 1, 5)
    np.testing.assert_allclose(graph.evaluate([x, x])['dx'][1], 9.81 * np.sin(x))
    with pytest.raises(ValueError, match=r"graph takes {'x': 2} inputs, got 3 values"):
        graph.evaluate([1.0, 2.0, 3.0])


@pytest.mark.parametrize('seed', GRAPHS)
def test_a_record_is_json_and_gives_the_same_graph_back(seed):
    graph, values = random_graph(seed)
    record = json.loads(json.dumps(graph.record()))
    again = Graph.from_record(record)
    assert again.record() == record and again.digest == graph.digest
    ours, theirs = graph.evaluate(values), again.evaluate(values)
    for name in graph.outputs:
        for a, b in zip(ours[name], theirs[name], strict=True):
            np.testing.assert_array_equal(a, b)


def test_graphs_that_differ_in_anything_have_another_digest():
    changes = (
        {'inputs': {'x': 3}},
        {'inputs': {'y': 2}},
        {'inputs': {'x': 1, 'u': 1}},
        {'inputs': {'u': 1, 'x': 1}},  # inputs are told apart by their order
        {'outputs': {'dx': [4, 1]}},
        {'outputs': {'dy': [1, 4]}},
        {'instructions': [*EXAMPLE['instructions'][:-1], ['mul', 2, 2]]},
        {'instructions': [*EXAMPLE['instructions'], ['constant', 1.0]]},
        {'instructions': [*EXAMPLE['instructions'][:3], ['constant', 9.8], ['mul', 3, 2]]},
    )
    digests = {Graph.from_record(example(**change)).digest for change in ({}, *changes)}
    assert len(digests) == len(changes) + 1


def broken(place, instruction):
    instructions = copy.deepcopy(EXAMPLE['instructions'])
    instructions[place] = instruction
    return example(instructions=instructions)


@pytest.mark.parametrize(
    ('record', 'message'),
    [
        (None, 'a graph has the parts'),
        ([], 'a graph has the parts'),
        ({'inputs': {}, 'instructions': []}, 'a graph has the parts'),
        (example(code='import os'), 'a graph has the parts'),
        (example(inputs=[2]), "'inputs' of a graph is a dict"),
        (example(instructions={}), "'instructions' of a graph is a list"),
        (example(outputs=[1, 4]), "'outputs' of a graph is a dict"),
        (example(outputs={'dx': 4}), "output 'dx' is 4, expected a list"),
        (example(outputs={'dx': [5]}), "output 'dx' is 5, which is no instruction"),
        (example(outputs={'dx': [-1]}), "output 'dx' is -1, which is no instruction"),
        (example(outputs={'dx': [True]}), "output 'dx' is True, which is no instruction"),
        (example(outputs={'dx': [1.0]}), "output 'dx' is 1.0, which is no instruction"),
        (example(outputs={'dx': ['1']}), "output 'dx' is '1', which is no instruction"),
        (example(inputs={'x': -2}), "input 'x' has the length -2"),
        (example(inputs={'x': 2.0}), "input 'x' has the length 2.0"),
        (example(inputs={'x': True}), "input 'x' has the length True"),
        (example(inputs={'x': '2'}), "input 'x' has the length '2'"),
        (example(inputs={'x': 10**12}), "input 'x' has the length 1000000000000"),
        (broken(2, 'sin'), "instruction 'sin' is not a list"),
        (broken(2, []), r'instruction 2 is \(\), expected an operation'),
        (broken(2, [7, 0]), r'instruction 2 is \(7, 0\), expected an operation'),
        (broken(2, [['sin'], 0]), r'instruction 2 is .*, expected an operation'),
        (broken(2, ['system', 0]), "instruction 2 has the unknown operation 'system'"),
        (broken(2, ['__import__', 0]), "instruction 2 has the unknown operation '__import__'"),
        (broken(2, ['sin']), "instruction 2 'sin' has 0 operands, expected 1"),
        (broken(2, ['sin', 0, 1]), "instruction 2 'sin' has 2 operands, expected 1"),
        (broken(4, ['mul', 3]), "instruction 4 'mul' has 1 operands, expected 2"),
        (broken(4, ['select', 3, 2]), "instruction 4 'select' has 2 operands, expected 3"),
        (broken(2, ['sin', 2]), "instruction 2 'sin' has the operand 2, expected 0 to 1"),
        (broken(2, ['sin', 4]), "instruction 2 'sin' has the operand 4, expected 0 to 1"),
        (broken(2, ['sin', -1]), "instruction 2 'sin' has the operand -1, expected 0 to 1"),
        (broken(2, ['sin', 0.0]), "instruction 2 'sin' has the operand 0.0"),
        (broken(2, ['sin', False]), "instruction 2 'sin' has the operand False"),
        (broken(2, ['sin', None]), "instruction 2 'sin' has the operand None"),
        (broken(1, ['input', 2]), "instruction 1 'input' has the input 2, expected 0 to 1"),
        (broken(1, ['input', -1]), "instruction 1 'input' has the input -1, expected 0 to 1"),
        (broken(3, ['constant', math.nan]), 'instruction 3 is the constant nan'),
        (broken(3, ['constant', -math.inf]), 'instruction 3 is the constant -inf'),
        (broken(3, ['constant', True]), 'instruction 3 is the constant True'),
        (broken(3, ['constant', '9.81']), "instruction 3 is the constant '9.81'"),
        (broken(3, ['constant', None]), 'instruction 3 is the constant None'),
        (broken(3, ['constant', 10**400]), 'instruction 3 is the constant 1000'),
        (broken(3, ['constant']), "instruction 3 'constant' has 0 operands, expected 1"),
    ],
)
def test_a_broken_graph_is_refused_in_one_line(record, message):
    with pytest.raises(ValueError, match=message) as error:
        Graph.from_record(record)
    assert '\n' not in str(error.value)


def test_a_graph_may_not_be_longer_than_any_plant_needs():
    longest = [['input', 0]] * LONGEST
    assert len(Graph.from_record(example(instructions=longest)).instructions) == LONGEST
    with pytest.raises(ValueError, match=r'graph has 1000001 instructions; at most 1000000'):
        Graph.from_record(example(instructions=[*longest, ['input', 0]]))


ODD = [-1, 0, 1, 3, 7, 10**400, 0.5, math.nan, math.inf, True, None, '', 'x', 'exec', [], {}, [1]]


def mutated(record, rng):
    """A record with one to three parts of it replaced, removed or repeated."""
    record = copy.deepcopy(record)
    for _ in range(rng.randint(1, 3)):
        holder = record
        while True:  # somewhere in the tree
            keys = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
            if not keys:
                break
            key = rng.choice(keys)
            deeper = holder[key]
            if not isinstance(deeper, (dict, list)) or not deeper or rng.random() < 0.15:
                choice = rng.random()
                if choice < 0.15:
                    del holder[key]
                elif choice < 0.3 and isinstance(holder, list):
                    holder.insert(key, copy.deepcopy(deeper))
                elif choice < 0.5:
                    holder[key] = rng.choice([*OPERANDS, 'input', 'constant'])
                elif choice < 0.8:
                    holder[key] = rng.randint(-2, 12)
                else:
                    holder[key] = copy.deepcopy(rng.choice(ODD))
                break
            holder = deeper
        if not isinstance(record, dict) or not record:
            break
    return record


def test_mutated_records_are_refused_or_can_be_evaluated():
    rng = random.Random(0)
    originals = [EXAMPLE, random_graph(0, size=12)[0].record(), SYSTEMS['cartpole'].graph.record()]
    refused, evaluated = [], 0
    for n in range(6000):
        record = mutated(originals[n % 3], rng)
        try:
            graph = Graph.from_record(record)
        except ValueError as error:
            refused.append(str(error))
            continue
        with np.errstate(all='ignore'):
            found = graph.evaluate([np.float64(0.3)] * sum(graph.inputs.values()))
        assert {name: len(values) for name, values in found.items()} == {
            name: len(places) for name, places in graph.outputs.items()
        }
        evaluated += 1
    assert len(refused) > 3000 and evaluated > 500
    assert all('\n' not in message for message in refused)


def test_the_random_graphs_hold_every_operation():
    used = {name for seed in GRAPHS for name, *_ in random_graph(seed)[0].instructions}
    assert used == {*OPERANDS, 'input', 'constant'}


@pytest.mark.parametrize('seed', GRAPHS)
def test_all_readers_agree(seed):
    graph, values = random_graph(seed)
    expected = {
        name: np.stack([np.broadcast_to(value, values.shape[1:]) for value in found])
        for name, found in graph.evaluate(values).items()
    }
    in_torch = graph.evaluate([torch.from_numpy(row) for row in values], TORCH)
    symbols = [ca.SX.sym(f's{k}') for k in range(len(values))]
    in_casadi = graph.evaluate(symbols, CASADI)
    for name in graph.outputs:
        theirs = np.stack([np.broadcast_to(value, values.shape[1:]) for value in in_torch[name]])
        np.testing.assert_allclose(theirs, expected[name], rtol=1e-9, atol=1e-9)
        function = ca.Function(name, [ca.vertcat(*symbols)], [ca.vertcat(*in_casadi[name])])
        np.testing.assert_allclose(np.array(function(values)), expected[name], 1e-9, 1e-9)
    for k, point in enumerate(values.T):
        compiled = in_machine_code(graph, point)
        for name in graph.outputs:
            np.testing.assert_allclose(compiled[name], expected[name][:, k], 1e-9, 1e-9)


CORNERS = (-2.0, -0.5, -0.0, 0.0, 0.5, 1.0, 2.0)
JUMPS = ['sign', 'floor', 'ceil', 'less', 'less_equal', 'equal', 'minimum', 'maximum', 'select']


@pytest.mark.parametrize('name', JUMPS)
def test_readers_agree_on_the_jumps_themselves(name):
    graph, count = operation(name), OPERANDS[name]
    grid = np.array(np.meshgrid(*[CORNERS] * count)).reshape(count, -1)
    (expected,) = graph.evaluate(list(grid))['y']
    (in_torch,) = graph.evaluate([torch.from_numpy(row) for row in grid], TORCH)['y']
    np.testing.assert_array_equal(in_torch.numpy(), expected)
    symbols = [ca.SX.sym(f's{k}') for k in range(count)]
    term = graph.evaluate(symbols, CASADI)['y'][0]
    function = ca.Function('f', [ca.vertcat(*symbols)], [term])
    np.testing.assert_array_equal(np.array(function(grid)).ravel(), expected)
    compiled = [in_machine_code(graph, point)['y'][0] for point in grid.T]
    np.testing.assert_array_equal(compiled, expected)


NUMBERS = {name for name in OPERANDS if name not in ('less', 'less_equal', 'equal', 'select')}


@pytest.mark.parametrize('name', sorted(NUMBERS))
def test_nan_stays_nan_in_machine_code(name):
    graph, count = operation(name), OPERANDS[name]
    for k in range(count):
        point = [0.5] * count
        point[k] = math.nan
        assert math.isnan(NUMPY[name](*point))
        assert math.isnan(in_machine_code(graph, point)['y'][0])


@pytest.mark.parametrize('arithmetic', ['add', 'sub', 'mul', 'div'])
@pytest.mark.parametrize('name', ['sign', 'minimum', 'maximum'])
def test_nan_that_arithmetic_makes_stays_nan_in_machine_code(name, arithmetic):
    operands = (2, 1)[: OPERANDS[name]]
    instructions = [('input', 0), ('input', 1), (arithmetic, 0, 1), (name, *operands)]
    graph = Graph({'x': 2}, instructions, {'y': [3]})
    assert math.isnan(in_machine_code(graph, [math.nan, 0.5])['y'][0])
    makes_nan = {'add': -math.inf, 'sub': math.inf, 'mul': 0.0, 'div': math.inf}[arithmetic]
    with np.errstate(invalid='ignore'):
        assert math.isnan(graph.evaluate(np.array([math.inf, makes_nan]))['y'][0])
    assert math.isnan(in_machine_code(graph, [math.inf, makes_nan])['y'][0])


@pytest.mark.parametrize('name', ['less', 'less_equal', 'equal'])
def test_no_comparison_with_nan_holds_in_machine_code(name):
    for point in ([math.nan, 0.5], [0.5, math.nan], [math.nan, math.nan]):
        assert NUMPY[name](*point) == 0.0
        assert in_machine_code(operation(name), point)['y'][0] == 0.0


def test_a_choice_by_nan_is_the_same_in_machine_code():
    assert NUMPY['select'](math.nan, 1.0, 2.0) == 1.0
    assert in_machine_code(operation('select'), [math.nan, 1.0, 2.0])['y'][0] == 1.0


@pytest.mark.parametrize('name', OPERANDS)
def test_every_reader_takes_an_operation_on_constants_alone(name):
    numbers = [1.5 if name == 'acosh' else 0.5, 0.25, 2.0][: OPERANDS[name]]
    constants = [('constant', number) for number in numbers]
    places = range(len(numbers))
    graph = Graph({'x': 1}, [*constants, (name, *places)], {'y': [len(numbers)]})
    expected = NUMPY[name](*numbers)
    assert graph.evaluate([0.0])['y'][0] == expected
    assert in_machine_code(graph, [0.0])['y'][0] == pytest.approx(expected, rel=1e-14)
    in_torch = graph.evaluate([torch.zeros(1, dtype=torch.float64)], TORCH)['y'][0]
    assert float(in_torch) == pytest.approx(expected, rel=1e-14)
    in_casadi = graph.evaluate([ca.SX.sym('x')], CASADI)['y'][0]
    assert float(in_casadi) == pytest.approx(expected, rel=1e-14)
