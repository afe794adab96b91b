"""Simulated movies with known truth: the demo's input, the tests' oracle, the benchmark's scale."""

from fovflow.simulation.movie import Movie, simulate
from fovflow.simulation.params import MovieParams

__all__ = ["Movie", "MovieParams", "simulate"]
