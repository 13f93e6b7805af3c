"""Origin of parameters: which were given to one node by name, and which to all of them.

rclpy merges `/**`, `/ns/*` and a node's own name into one set of overrides. A wildcard may hold
parameters of any node, its own name only those that it has.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

PARAMETERS = 'ros__parameters'


def given_by_name(args: Sequence[str], node: str) -> set[str]:
    """Names of the parameters given to a node alone: by its name in a file, or with `-p`.

    Args:
        args: command line of the process, which rcl has parsed without an error.
        node: full name.
    """
    names: set[str] = set()
    for flag, value in _options(args):
        if flag == '--params-file':
            tree = yaml.safe_load(Path(value).read_text()) or {}
            names |= {name for owner, name in _parameters_in(tree) if owner == node}
        else:
            names.add(value.partition(':=')[0].rpartition(':')[2])
    return names


def _options(args: Sequence[str]) -> Iterator[tuple[str, str]]:
    """The options about parameters behind `--ros-args`."""
    parsed, words = False, iter(args)
    for word in words:
        if word in ('--ros-args', '--'):
            parsed = word == '--ros-args'
        elif parsed and word in ('-p', '--param', '--params-file'):
            yield word, next(words, '')


def _parameters_in(tree: dict[str, Any], owner: str = '') -> Iterator[tuple[str, str]]:
    """(node or wildcard, parameter) for all of a file, whose namespaces may be nested."""
    for key, value in tree.items():
        if key == PARAMETERS:
            yield from ((owner, name) for name in _leaves(value))
        elif isinstance(value, dict):
            yield from _parameters_in(value, f'{owner}/{str(key).strip("/")}')


def _leaves(tree: dict[str, Any] | None, prefix: str = '') -> Iterator[str]:
    for key, value in (tree or {}).items():
        if isinstance(value, dict):
            yield from _leaves(value, f'{prefix}{key}.')
        else:
            yield f'{prefix}{key}'
