"""The house: data flows one way, and imports follow it, also those inside functions."""

import ast
import functools
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CORE = ROOT / 'trc_core'
ROS = ('rclpy', 'launch', 'launch_ros', 'ament_index_python', 'trc_ros')
HEAVY = (
    'torch',
    'lightning',
    'sympy',
    'casadi',
    'control',
    'scipy',
    'joblib',
    'matplotlib',
    'onnx',
    'onnxruntime',
    'mujoco',
)
# Every room, and the rooms that it may import, at the top of a module or inside a function. The
# table is in the order of the data: a room names only rooms above it.
ROOMS: dict[str, set[str]] = {
    'command_line': set(),
    'whole_files': set(),
    'progress': set(),
    'problem': set(),
    'compile': {'problem', 'whole_files'},
    'numerics': {'problem', 'compile'},
    'systems': {'problem'},
    'exported_network': {'compile'},
    'provenance': {'numerics'},
    'network_config': set(),
    'checkpoint_tensors': {'problem', 'numerics', 'network_config'},
}
ROOMS['checkpoint'] = {
    *('problem', 'numerics', 'systems'),
    *('exported_network', 'network_config', 'checkpoint_tensors', 'whole_files'),
}
BASE = set(ROOMS)
ROOMS['solvers'] = {'problem', 'compile', 'numerics', 'systems'}  # problems as they are drawn
ROOMS['data'] = BASE | {'solvers'}
ROOMS['models'] = BASE
ROOMS['planner'] = BASE | {'models'}  # the backend of PyTorch, imported where it is asked for
ROOMS['flight'] = BASE | {'planner'}
ROOMS['simulation'] = BASE
ROOMS['training'] = BASE | {'solvers', 'data', 'models', 'planner'}
ROOMS['finetuning'] = BASE | {'solvers', 'planner', 'simulation', 'training'}
ROOMS['evaluation'] = BASE | {'solvers', 'models', 'planner', 'flight', 'simulation'}
ROOMS['commands'] = set(ROOMS)
ROOMS['lab'] = set(ROOMS)
ROOMS['cli'] = set()  # its table names modules as texts
ROOMS['__main__'] = {'cli'}
ROOMS['__init__'] = {'numerics', 'planner', 'problem', 'systems'}
DOOR = Path('training/rl_finetuner.py')  # fine-tuning by its first name
FLIES = {*BASE, 'planner', 'flight', 'simulation', 'cli', '__init__'}
LAZY = Path('planner/torch_backend.py')  # imported where somebody asks for that backend
NOTATIONS = ('torch_reader.py', 'casadi_reader.py', 'sympy_notation.py', 'casadi_notation.py')
MODULES = sorted(path.relative_to(CORE) for path in CORE.rglob('*.py'))


def part_of(module: Path) -> str:
    return module.parts[0].removesuffix('.py')


def imports(path: Path, nested: bool, root: Path = ROOT):
    """Modules imported at the top of a file, or anywhere in it; typing-only ones left out."""
    return imports_of(path.read_text(), path, nested, root)


@functools.cache  # several tests ask about every module
def imports_of(text: str, path: Path, nested: bool, root: Path):
    return tuple(read_imports(ast.parse(text), path, nested, root))


def read_imports(tree: ast.Module, path: Path, nested: bool, root: Path):
    typing_only = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == 'TYPE_CHECKING'
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree) if nested else tree.body:
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f'{path}: relative import'
            # a module that is imported from its package, or else what a module holds
            for alias in node.names:
                full = f'{node.module}.{alias.name}'
                is_module = (root / f'{full.replace(".", "/")}.py').exists()
                yield full if is_module else node.module


def import_graph(core: Path) -> dict[str, set[str]]:
    """Every module of a package, and those of its modules that it imports, wherever it does."""
    names = {}
    for path in core.rglob('*.py'):
        parts = path.relative_to(core.parent).with_suffix('').parts
        names['.'.join(part for part in parts if part != '__init__')] = path
    return {
        name: {
            other for other in imports(path, True, core.parent) if other in names and other != name
        }
        for name, path in names.items()
    }


def circles(graph: dict[str, set[str]]) -> list[set[str]]:
    """Groups of modules that import each other, directly or through others."""
    reach = {name: {name} for name in graph}
    changed = True
    while changed:
        changed = False
        for name, targets in graph.items():
            wider = reach[name].union(*(reach[target] for target in targets))
            changed = changed or wider != reach[name]
            reach[name] = wider
    back = {name: {m for m in reach[name] if name in reach[m]} for name in graph}
    return [group for group in back.values() if len(group) > 1]


def test_no_module_imports_itself_through_others():
    graph = import_graph(CORE)
    assert len(graph) == len(MODULES)
    assert not circles(graph)


def test_a_circle_through_a_function_is_found(tmp_path):
    (tmp_path / 'house').mkdir()
    texts = {'a': 'from house.b import x', 'b': 'import house.c', 'c': 'def f(): import house.a'}
    for name, text in texts.items():
        (tmp_path / 'house' / f'{name}.py').write_text(text)
    found = circles(import_graph(tmp_path / 'house'))
    assert {'house.a', 'house.b', 'house.c'} in found
    (tmp_path / 'house' / 'c.py').write_text('import math')
    assert not circles(import_graph(tmp_path / 'house'))


def test_rooms_name_only_rooms_above_them():
    above: set[str] = set()
    for room, allowed in ROOMS.items():
        assert allowed <= above, f'{room} may import {sorted(allowed - above)} from below'
        above.add(room)


@pytest.mark.parametrize('module', MODULES, ids=str)
def test_imports_follow_the_data(module):
    part = part_of(module)
    allowed = ROOMS[part] | ({'finetuning'} if module == DOOR else set())
    for name in imports(CORE / module, nested=True):
        pieces = name.split('.')
        if pieces[0] == 'trc_core' and len(pieces) > 1 and pieces[1] != part:
            assert pieces[1] in allowed, f'{module} imports {name}'


@pytest.mark.parametrize('module', [m for m in MODULES if part_of(m) != 'lab'], ids=str)
def test_the_product_does_without_the_lab(module):
    for name in imports(CORE / module, nested=True):
        assert not name.startswith('trc_core.lab'), f'{module} imports {name}'


@pytest.mark.parametrize('module', MODULES, ids=str)
def test_the_core_never_imports_ros(module):
    for name in imports(CORE / module, nested=True):
        root = name.split('.')[0]
        assert root not in ROS, f'{module} imports {name}'
        assert not root.endswith('_msgs'), f'{module} imports {name}'


@pytest.mark.parametrize('module', [m for m in MODULES if part_of(m) in FLIES], ids=str)
def test_what_flies_imports_no_training_libraries(module):
    if module.name in NOTATIONS or module == LAZY or 'onnx' in module.parts:
        return  # each is imported where somebody asks for it
    for name in imports(CORE / module, nested=False):
        assert name.split('.')[0] not in HEAVY, f'{module} imports {name}'


def test_every_part_of_the_house_is_in_the_table():
    assert {part_of(module) for module in MODULES} <= set(ROOMS)
