"""What is known of normal draws in closed form: the moments of polynomials of them; and directions in which they are independent."""

import math

import numpy as np
from numpy.typing import NDArray

__all__ = ["normal_moment", "orthonormal_rows", "polynomial", "polynomial_covariances", "polynomial_means"]

Floats = NDArray[np.float64]


def orthonormal_rows(num_rows: int, num_columns: int, seed: int) -> Floats:
    """Orthonormal rows in random directions, [num_rows, num_columns]."""
    normal = np.random.default_rng([seed, 0]).standard_normal((num_columns, num_rows))
    return np.asarray(np.linalg.qr(normal).Q.T)


def normal_moment(a: int, b: int, rho: float) -> float:
    """E[u^a v^b] of standard normal u and v with correlation rho.

        sum over k of the parity of a and b:  a! b! rho^k / (2^((a+b)/2-k) k! ((a-k)/2)! ((b-k)/2)!)

    >>> normal_moment(4, 0, 0.5), normal_moment(1, 3, 0.5)
    (3.0, 1.5)
    """
    if (a + b) % 2:
        return 0.0
    total = 0.0
    for k in range(a % 2, min(a, b) + 1, 2):
        below = math.factorial(k) * math.factorial((a - k) // 2) * math.factorial((b - k) // 2)
        total += math.factorial(a) * math.factorial(b) * rho**k / (2 ** ((a + b) // 2 - k) * below)
    return total


def polynomial(z: Floats, degree: int) -> Floats:
    """z + z^2 + ... + z^degree, by Horner's rule; of any shape."""
    total = z
    for _ in range(degree - 1):
        total = z * (1 + total)
    return total


def polynomial_means(degrees: tuple[int, ...]) -> Floats:
    """The mean of the polynomial of each degree of a standard normal number, [T]."""
    return np.array([sum(normal_moment(k, 0, 0.0) for k in range(1, degree + 1)) for degree in degrees])


def polynomial_covariances(degrees: tuple[int, ...], correlation: float) -> Floats:
    """The covariances of polynomials of standard normal numbers, any two of which have the correlation, [T, T]."""
    products = np.array(
        [
            [
                sum(normal_moment(i, j, 1.0 if s == t else correlation) for i in range(1, a + 1) for j in range(1, b + 1))
                for t, b in enumerate(degrees)
            ]
            for s, a in enumerate(degrees)
        ]
    )
    means = polynomial_means(degrees)
    return np.asarray(products - np.outer(means, means))
