"""The layers of the network, in float32. Plain Python that Numba compiles."""

from __future__ import annotations

import math

import numpy as np
from numba.extending import register_jitable

NORM_EPSILON = 1e-5  # as in models/recursive_reasoning.py
ONE, SQRT_HALF = np.int32(0x3F800000), np.int32(0x3F3504F3)  # the bits of 1 and sqrt(1/2)
FRACTION = np.int32(0x007FFFFF)  # the bits of a number that are not its sign or exponent
LARGEST = np.float32(1e18)  # its square is finite
LN_2 = np.float32(0.6931471806)
LOG_1, LOG_2, LOG_3 = np.float32(7.0376836e-2), np.float32(-1.1514610e-1), np.float32(1.1676999e-1)
LOG_4, LOG_5, LOG_6 = (
    np.float32(-1.2420141e-1),
    np.float32(1.4249323e-1),
    np.float32(-1.6668058e-1),
)
LOG_7, LOG_8, LOG_9 = np.float32(2.0000715e-1), np.float32(-2.5000000e-1), np.float32(3.3333331e-1)


@register_jitable
def affine(net, layer, x, y):
    """Y = w x + b, four rows at a time: x is then read a quarter as often."""
    place, outputs, inputs, stride = net.layout[layer]
    bias = place + outputs * stride
    w = net.weights[place:bias].reshape((outputs, stride))  # plain indices: they vectorise
    b = net.weights[bias : bias + outputs]
    blocks = outputs - outputs % 4
    for i in range(0, blocks, 4):
        y_0, y_1, y_2, y_3 = np.float32(0.0), np.float32(0.0), np.float32(0.0), np.float32(0.0)
        for j in range(inputs):
            y_0 += w[i, j] * x[j]
            y_1 += w[i + 1, j] * x[j]
            y_2 += w[i + 2, j] * x[j]
            y_3 += w[i + 3, j] * x[j]
        y[i], y[i + 1] = y_0 + b[i], y_1 + b[i + 1]
        y[i + 2], y[i + 3] = y_2 + b[i + 2], y_3 + b[i + 3]
    for i in range(blocks, outputs):
        total = np.float32(0.0)
        for j in range(inputs):
            total += w[i, j] * x[j]
        y[i] = total + b[i]


@register_jitable
def squash(x):
    """X <- asinh(x), in place: log(|x| + sqrt(x^2 + 1)) with the sign of x, to 1e-7.

    Written in operations that vectorise, because the library's logarithm does not: the exponent
    of the argument is read off its bits, and the logarithm of what is left, between sqrt(1/2) and
    sqrt(2), is a polynomial. Source of its coefficients: Cephes, logf.
    """
    n = x.shape[0]
    bits, exponent = np.empty(n, np.int32), np.empty(n, np.float32)
    mantissa = bits.view(np.float32)
    for i in range(n):
        a = min(abs(x[i]), LARGEST)
        mantissa[i] = a + np.float32(math.sqrt(a * a + np.float32(1.0)))
    for i in range(n):
        shifted = bits[i] + (ONE - SQRT_HALF)
        exponent[i] = np.float32((shifted >> np.int32(23)) - np.int32(127))
        bits[i] = (shifted & FRACTION) + SQRT_HALF
    for i in range(n):
        f = mantissa[i] - np.float32(1.0)
        p = LOG_1
        p = p * f + LOG_2
        p = p * f + LOG_3
        p = p * f + LOG_4
        p = p * f + LOG_5
        p = p * f + LOG_6
        p = p * f + LOG_7
        p = p * f + LOG_8
        p = p * f + LOG_9
        log = p * f * f * f - np.float32(0.5) * f * f + f + exponent[i] * LN_2
        x[i] = log if x[i] >= np.float32(0.0) else -log


@register_jitable
def silu(x):
    """X <- x sigmoid(x), in place."""
    for i in range(x.shape[0]):
        x[i] = x[i] / (np.float32(1.0) + np.float32(math.exp(-x[i])))


@register_jitable
def normalise(net, layer, z):
    """Z <- LayerNorm(z), in place."""
    n = z.shape[0]
    mean, variance = np.float32(0.0), np.float32(0.0)
    for i in range(n):
        mean += z[i]
    mean /= np.float32(n)
    for i in range(n):
        variance += (z[i] - mean) ** 2
    scale = np.float32(1.0 / math.sqrt(variance / np.float32(n) + NORM_EPSILON))
    place, _, _, stride = net.layout[layer]
    gain, bias = net.weights[place : place + n], net.weights[place + stride : place + stride + n]
    for i in range(n):
        z[i] = (z[i] - mean) * scale * gain[i] + bias[i]


@register_jitable
def two_layers(net, hidden, output, x, y):
    """Y = output(SiLU(hidden(x)))."""
    h = np.empty(net.layout[hidden, 1], np.float32)
    affine(net, hidden, x, h)
    silu(h)
    affine(net, output, h, y)
