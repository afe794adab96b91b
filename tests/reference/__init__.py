"""Slow, plain float64 versions of each array step, written from the definitions alone.

They are the oracle of the agreement tests and the yardstick of the benchmarks. Nothing here
may be taken from the fast code; SciPy and scikit-image are used wherever they say a definition
in one call.
"""
