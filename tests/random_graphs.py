"""Random expression graphs whose values are safe to compare between readers."""

import numpy as np

from trc_core.problem.graph import NUMPY, OPERANDS, Graph

INPUTS = {'x': 3, 'u': 2, 'p': 1}
TIE = 1e-6  # nearer to a jump, two roundings may fall on either side of it
LARGE = 10.0  # values beyond this are squashed, so that nothing overflows


class _Sketch:
    """A graph in the making, with its values at some points beside it."""

    def __init__(self, rng, points):
        self.rng, self.points = rng, points
        self.instructions, self.values = [], []
        for k in range(len(points)):
            self.write('input', k)

    def write(self, name, *operands):
        """The place of an instruction, which is written."""
        if name == 'input':
            value = self.points[operands[0]]
        elif name == 'constant':
            value = np.full(self.points.shape[1], operands[0])
        else:
            value = NUMPY[name](*[self.values[k] for k in operands])
        self.instructions.append((name, *operands))
        self.values.append(value)
        return len(self.values) - 1

    def any(self):
        return int(self.rng.integers(len(self.values)))

    def constant(self, value):
        return self.write('constant', value)

    def at_least(self, low):
        """|a| + low, for some a."""
        return self.write('add', self.write('abs', self.any()), self.constant(low))

    def within(self, size):
        """A value of at most `size`."""
        return self.write('mul', self.write('tanh', self.any()), self.constant(size))

    def operands(self, name):
        """Operands inside the domain of an operation; None if the choice lies on a jump."""
        if name in ('sqrt', 'log'):
            return [self.at_least(0.5)]
        if name in ('asin', 'acos', 'atanh'):
            return [self.within(0.9)]
        if name == 'acosh':
            return [self.at_least(1.5)]
        if name in ('exp', 'sinh', 'cosh', 'tan'):
            return [self.within(1.2)]
        if name == 'div':
            return [self.any(), self.at_least(0.5)]
        if name == 'pow':
            return [self.at_least(0.5), self.within(2.0)]
        chosen = [self.any() for _ in range(OPERANDS[name])]
        a, b = self.values[chosen[0]], self.values[chosen[-1]]
        gap = {
            'floor': np.abs(a - np.round(a)),
            'ceil': np.abs(a - np.round(a)),
            'sign': np.abs(a),
            'less': np.abs(a - b),
            'less_equal': np.abs(a - b),
            'equal': np.abs(a - b),
            'atan2': np.maximum(np.abs(a), b),  # a jump where a changes its sign and b < 0
            'select': np.abs(a),
        }.get(name, np.array(1.0))
        same = name in ('less', 'less_equal', 'equal') and chosen[0] == chosen[1]
        return chosen if same or gap.min() > TIE else None


def random_graph(seed, size=60, points=20):
    """A graph of every input, and values (inputs, points) at which no operation jumps.

    Its operations come in turn from all there are, so that a few graphs hold each of them.
    """
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(sum(INPUTS.values()), points))
    sketch = _Sketch(rng, values)
    names = list(OPERANDS)
    for k in range(size):
        name = names[(seed * size + k) % len(names)]
        for _ in range(20):
            operands = sketch.operands(name)
            if operands is not None:
                place = sketch.write(name, *operands)
                if np.abs(sketch.values[place]).max() > LARGE:
                    sketch.write('tanh', place)
                break
    last = [len(sketch.values) - 1 - k for k in range(5)]
    outputs = {'first': last[:2], 'second': [*last[2:], 0]}
    return Graph(INPUTS, sketch.instructions, outputs), values
