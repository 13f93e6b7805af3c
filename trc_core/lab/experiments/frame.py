"""An experiment: units of work whose figures are kept one by one, so that it can be resumed."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from trc_core import provenance
from trc_core.progress import progress_bar
from trc_core.whole_files import write_whole

Figures = dict[str, Any]
Work = Callable[[], Figures]
Results = Mapping[str, Figures]
DIGITS = 9  # that are kept of a figure
COLOURS = 255  # of a picture
SEPARATOR = ' / '


@dataclass(frozen=True)
class Experiment:
    """Experiment: a question, and how it is answered."""

    name: str
    summary: str
    default: Any
    """The size that takes at most 20 minutes on two cores, a frozen dataclass."""
    full: Any
    """The size for the last digit."""
    units: Callable[[Any, int], Mapping[str, Work]]
    """(size, seed) -> what there is to do, by a key that stays the same from run to run."""
    page: Callable[[Results], Iterable[str]]
    """Blocks of Markdown from the figures of the units."""
    draw: Callable[[Results], Any]
    """A Matplotlib figure."""


def key(*parts: object) -> str:
    """The key of a unit."""
    return SEPARATOR.join(map(str, parts))


def among(results: Results, *parts: object) -> list[Figures]:
    """The figures of every unit whose key begins with these parts, one per seed."""
    whole = key(*parts)
    return [f for name, f in results.items() if f'{name}{SEPARATOR}'.startswith(whole + SEPARATOR)]


def names(results: Results, place: int, *parts: object) -> list[str]:
    """Parts at a place of the keys that begin with `parts`, in order, each once."""
    begin = [str(part) for part in parts]
    pieces = (name.split(SEPARATOR) for name in results)
    return list(dict.fromkeys(p[place] for p in pieces if p[: len(begin)] == begin))


@dataclass
class Record:
    """Record of a run so far, in a file that is rewritten after every unit."""

    path: Path
    contents: dict[str, Any]

    @classmethod
    def open(cls, path: Path, settings: Mapping[str, Any]) -> Record:
        """The record of an earlier run with the same settings, or an empty one.

        Raises:
            ValueError: if the file holds a run with other settings.
        """
        if not path.exists():
            return cls(path, {**settings, 'runs': [], 'units': {}})
        contents = json.loads(path.read_text())
        for name, value in settings.items():
            if name != 'command' and contents.get(name) != value:
                raise ValueError(
                    f"'{path}' holds a run with {name} {contents.get(name)!r}, not {value!r}: "
                    f'give another --output_dir, or --fresh to begin anew'
                )
        return cls(path, contents)

    @property
    def results(self) -> Results:
        """The figures by unit."""
        return {name: unit['figures'] for name, unit in self.contents['units'].items()}

    def add(self, name: str, figures: Figures, seconds: float, load: str) -> None:
        """Keeps the figures of one more unit."""
        unit = {'seconds': round(seconds, 1), 'load': load, 'figures': _rounded(figures)}
        self.contents['units'][name] = unit
        write_whole(self.path, json.dumps(self.contents, separators=(',', ':')) + '\n')


def run(
    experiment: Experiment, size: Any, seed: int, folder: Path, command: str, fresh: bool = False
) -> Path:
    """Does what is left to do, and writes `<name>.json`, `.md` and `.png`; the page's path.

    Raises:
        ValueError: if the folder holds a run of this experiment with other settings.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f'{experiment.name}.json'
    if fresh:
        path.unlink(missing_ok=True)
    settings = {
        'experiment': experiment.name,
        'command': command,
        'seed': seed,
        'size': json.loads(json.dumps(asdict(size))),
    }
    record = Record.open(path, settings)
    units = experiment.units(size, seed)
    left = {name: work for name, work in units.items() if name not in record.contents['units']}
    if left:
        record.contents['runs'].append(provenance.brief())
    bar = progress_bar(left.items(), experiment.name, len(units), initial=len(units) - len(left))
    for name, work in bar:
        bar.set_postfix_str(name)
        began, load = time.monotonic(), provenance.load()
        figures = work()
        record.add(name, figures, time.monotonic() - began, load)
    return publish(experiment, record, list(units))


def publish(experiment: Experiment, record: Record, order: list[str]) -> Path:
    """Writes the page and the picture of a complete record."""
    results = {name: record.results[name] for name in order}
    page = record.path.with_suffix('.md')
    write_whole(page, render(experiment, record.contents, results))
    _save(experiment.draw(results), record.path.with_suffix('.png'))
    return page


def _save(figure: Any, path: Path) -> None:
    """Writes a PNG with few colours, which is small."""
    from PIL import Image

    buffer = io.BytesIO()
    figure.savefig(buffer, format='png', dpi=80)
    Image.open(buffer).convert('RGB').quantize(COLOURS).save(path, optimize=True)


def render(experiment: Experiment, contents: Mapping[str, Any], results: Results) -> str:
    """The page: the question, where the figures come from, the answer."""
    blocks = [
        f'# {experiment.name}',
        f'{experiment.summary[0].upper()}{experiment.summary[1:]}.',
        _origin(contents),
        f'![{experiment.name}]({experiment.name}.png)',
        *experiment.page(results),
    ]
    return '\n\n'.join(blocks) + '\n'


def _origin(contents: Mapping[str, Any]) -> str:
    runs, units = contents['runs'], contents['units'].values()
    loads = [float(unit['load'].split()[0]) for unit in units]
    size = ', '.join(f'{name} {_plain(value)}' for name, value in contents['size'].items())
    origin = {
        'command': f'`{contents["command"]}`',
        'seed': contents['seed'],
        'size': size,
        **runs[-1],
        'date': ', '.join(dict.fromkeys(run['date'] for run in runs)),
        'load': f'{min(loads):.1f} to {max(loads):.1f} (one-minute average before each unit)',
        'wall time': f'{sum(unit["seconds"] for unit in units) / 60:.0f} min',
    }
    return provenance.table(origin)


def _plain(value: Any) -> str:
    return ', '.join(map(str, value)) if isinstance(value, list) else str(value)


def _rounded(value: Any) -> Any:
    """Figures as JSON values of a readable length."""
    if isinstance(value, Mapping):
        return {str(name): _rounded(v) for name, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_rounded(v) for v in value]
    if isinstance(value, float):
        return float(f'{value:.{DIGITS}g}')
    return value
