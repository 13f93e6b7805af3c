"""The house: data flows one way, and imports follow it."""

import ast
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
# room of the house: what it may import of the others, from the top of a module
BASE = {'problem', 'systems', 'compile', 'numerics', 'checkpoint', 'command_line', 'provenance'}
ALLOWED = {
    'problem': {'systems'},
    'systems': {'problem'},
    'compile': {'problem'},
    'numerics': {'problem', 'compile'},
    'checkpoint': {'problem', 'systems', 'numerics'},
    'provenance': {'numerics'},
    'command_line': set(),
    'solvers': BASE,
    'data': BASE | {'solvers'},
    'models': BASE | {'data'},
    'planner': BASE,
    'flight': BASE | {'planner'},
    'simulation': BASE,
    'export': BASE | {'planner'},
    'training': BASE | {'solvers', 'data', 'models', 'planner', 'finetuning'},
    'finetuning': BASE | {'solvers', 'planner', 'training', 'simulation'},
    'evaluation': BASE | {'solvers', 'planner', 'flight', 'simulation'},
    'cli': set(),
    '__main__': {'cli'},
    '__init__': {'numerics', 'planner', 'systems'},
}
ALLOWED['commands'] = ALLOWED['lab'] = set(ALLOWED)
FLIES = {*BASE, 'planner', 'flight', 'simulation', 'cli', '__init__'}
LAZY = Path('planner/torch_backend.py')  # imported where somebody asks for that backend
MODULES = sorted(path.relative_to(CORE) for path in CORE.rglob('*.py'))


def part_of(module: Path) -> str:
    return module.parts[0].removesuffix('.py')


def imports(path: Path, nested: bool):
    """Modules imported at the top of a file, or anywhere in it; typing-only ones left out."""
    tree = ast.parse(path.read_text())
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
            yield node.module


@pytest.mark.parametrize('module', MODULES, ids=str)
def test_imports_follow_the_data(module):
    part = part_of(module)
    allowed = ALLOWED[part] | ({'models'} if module == LAZY else set())
    for name in imports(CORE / module, nested=False):
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


@pytest.mark.parametrize(
    'module',
    [m for m in MODULES if part_of(m) in FLIES],
    ids=str,
)
def test_what_flies_imports_no_training_libraries(module):
    if module.name == 'codegen.py' or module == LAZY:  # codegen: where there is no code yet
        return
    for name in imports(CORE / module, nested=False):
        assert name.split('.')[0] not in HEAVY, f'{module} imports {name}'


def test_every_part_of_the_house_is_in_the_table():
    assert {part_of(module) for module in MODULES} <= set(ALLOWED)
