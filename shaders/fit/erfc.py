#!/usr/bin/env python3
"""Fits the polynomial of `shaders/lib/act_gelu.wgsl` and `src/math/activation.rs`.

    erfc(z) = t exp(P(t) - z^2),   t = 1 / (1 + z/2),   z >= 0

P(t) = log(erfc(z) / t) + z^2 is smooth on (0, 1]; it is interpolated at Chebyshev nodes for
z in [0, 9] (GELU at |x| > 12.7 rounds to x or 0 in f32). Prints the coefficients in f32, lowest
power first, and the largest absolute error of GELU in f32 arithmetic against mpmath.

    pip install mpmath numpy && python3 shaders/fit/erfc.py
"""
import sys

import mpmath as mp
import numpy as np

mp.mp.dps = 40
DEGREE = int(sys.argv[1]) if len(sys.argv) > 1 else 8
LOW, HIGH = 1 / (1 + 9 / mp.mpf(2)), mp.mpf(1)


def target(t):
    z = 2 * (1 / t - 1)
    return mp.log(mp.erfc(z) / t) + z * z


nodes = [(LOW + HIGH) / 2 + (HIGH - LOW) / 2 * mp.cos(mp.pi * (2 * i + 1) / (2 * (DEGREE + 1))) for i in range(DEGREE + 1)]
matrix = mp.matrix(DEGREE + 1)
values = mp.matrix(DEGREE + 1, 1)
for i, t in enumerate(nodes):
    for j in range(DEGREE + 1):
        matrix[i, j] = t**j
    values[i] = target(t)
coefficients = [np.float32(float(c)) for c in mp.lu_solve(matrix, values)]

f = np.float32
x = np.linspace(-12, 12, 4001).astype(f)
z = np.abs(x) * f(0.70710678)
t = f(1) / (f(1) + f(0.5) * z)
p = np.full_like(t, coefficients[-1])
for c in coefficients[-2::-1]:
    p = p * t + c
half = f(0.5) * np.abs(x) * t * np.exp(p - z * z)
ours = np.where(x < 0, -half, x - half)
exact = np.array([float(mp.mpf(float(v)) * mp.erfc(-mp.mpf(float(v)) / mp.sqrt(2)) / 2) for v in x])
best = np.abs(exact.astype(f).astype(np.float64) - exact).max()
print("coefficients:", ", ".join(f"{c:.9g}" for c in coefficients))
for lo, hi in ((-12, 12), (-4, 4), (-1, 1)):
    inside = (x >= lo) & (x <= hi)
    print(f"|error| for x in [{lo}, {hi}]: {np.abs(ours - exact)[inside].max():.2e}")
print(f"rounding the exact value to f32: {best:.2e}")
