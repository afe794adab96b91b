"""Simulated movies with known truth: the demo's input, the tests' oracle, the benchmark's scale."""

from fovflow.simulation.containers import write_movie
from fovflow.simulation.experiment import simulate_traces, write_samples
from fovflow.simulation.movie import Movie, simulate
from fovflow.simulation.nd2 import write_nd2
from fovflow.simulation.params import PRESETS, MovieParams
from fovflow.simulation.truth import Truth, load_truth, write_truth

__all__ = [
    "PRESETS",
    "Movie",
    "MovieParams",
    "Truth",
    "load_truth",
    "simulate",
    "simulate_traces",
    "write_movie",
    "write_nd2",
    "write_samples",
    "write_truth",
]
