"""Table of figure 1: the median of every feature over the good cells, by dataset and frame."""

import sys
from pathlib import Path

import pandas as pd

import fovflow

parts = []
for file in sorted(Path("results").glob("*/processing_results.yaml")):
    traces = fovflow.load_results(file.parent).traces()
    good = traces[traces["good"]].drop(columns=["fov", "cell", "good", "flags"])
    medians = good.groupby("frame").median()
    medians.insert(0, "cells", good.groupby("frame").size())
    medians.insert(0, "dataset", file.parent.name)
    parts.append(medians.reset_index())
pd.concat(parts, ignore_index=True).to_csv(sys.argv[1], index=False, lineterminator="\n")
