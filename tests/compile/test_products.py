"""Products of small matrices are those of NumPy, whatever their sizes."""

import numpy as np
import pytest
from numba import njit

from trc_core.compile.products import (
    add_entries,
    add_product,
    add_product_of_transposed,
    fill_product,
)

SIZES = (1, 2, 3, 4, 6, 7, 8, 12, 13, 19)  # of which tiles leave every possible rest


@njit
def products(base, M, transposed, N, results):
    """Every product that kernels ask for."""
    add_product(results[0], base, 0.5, M, N)
    add_product_of_transposed(results[1], base, -2.0, transposed, N)
    fill_product(results[2], M, N)
    results[3][:] = base
    add_product(results[3], results[3], 1.0, M, N)
    add_entries(results[3], 3.0, base)


@pytest.mark.parametrize('kernel', [products, products.py_func], ids=['compiled', 'readable'])
def test_products_of_every_size_are_those_of_numpy(kernel):
    rng = np.random.default_rng(0)
    for rows, inner, columns in np.ndindex((len(SIZES),) * 3):
        m, k, n = SIZES[rows], SIZES[inner], SIZES[columns]
        base, M, N = (rng.standard_normal(shape) for shape in ((m, n), (m, k), (k, n)))
        results = np.full((4, m, n), np.nan)
        kernel(base, M, np.ascontiguousarray(M.T), N, results)
        expected = np.stack([base + 0.5 * M @ N, base - 2.0 * M @ N, M @ N, 4.0 * base + M @ N])
        np.testing.assert_allclose(results, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize('kernel', [products, products.py_func], ids=['compiled', 'readable'])
def test_of_larger_factors_only_the_part_that_fits_counts(kernel):
    rng = np.random.default_rng(1)
    base, M, transposed = (rng.standard_normal(shape) for shape in ((5, 6), (8, 7), (3, 8)))
    N, results = rng.standard_normal((4, 6)), np.empty((4, 5, 6))
    kernel(base, M, transposed, N, results)
    np.testing.assert_allclose(results[0], base + 0.5 * M[:5, :4] @ N)
    np.testing.assert_allclose(results[1], base - 2.0 * transposed[:, :5].T @ N[:3])
    np.testing.assert_allclose(results[2], M[:5, :4] @ N)


def test_arrays_that_are_not_contiguous_are_refused():
    square, results = np.eye(4), np.zeros((4, 4, 4))
    with pytest.raises(Exception, match='row'):
        products(square, square.T, square, square, results)
