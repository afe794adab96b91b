"""What is made of the samples: files, inputs and parameters of the rules of the analysis."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from fovflow.analysis.fits import FIT_REVISION, check_settings, fitted_name
from fovflow.analysis.merge import MERGE_REVISION, Measure
from fovflow.analysis.samples import Places, Sample, resolve_samples
from fovflow.config import Config
from fovflow.errors import ConfigError
from fovflow.layout import Layout, inspected
from fovflow.planning.dataset import DatasetPlan

AREAS = ("area_um2", "area")


class AnalysisPlan:
    """The samples of a configuration, and what the rules ask for.

    Raises ConfigError if samples, or the features to merge or to fit, are not there.

    Attributes
    ----------
    samples : dict of str to Sample
    measures : dict of str to tuple of Measure
        What is merged of each sample that has FOVs.
    fits : dict of str to tuple of Measure
        What is fitted of them.
    """

    def __init__(self, config: Config, layout: Layout, datasets: Mapping[str, DatasetPlan]):
        self._config, self._layout, self._datasets = config, layout, datasets
        places = {name: _places(plan) for name, plan in datasets.items()} if config.samples else {}
        self.samples = {each.name: each for each in resolve_samples(config.samples, places)}
        self.measures = {
            name: measures_of(config, datasets[sample.dataset])
            for name, sample in self.samples.items()
            if sample.fovs
        }
        fitted = () if config.fit is None else config.fit.features
        self.fits = {
            name: tuple(measure for measure in measures if measure.feature in fitted)
            for name, measures in self.measures.items()
        }
        if config.fit is not None:
            check_settings(self.fit_options()["settings"])
        known = {measure.feature for measures in self.measures.values() for measure in measures}
        if self.measures and (lacking := [name for name in fitted if name not in known]):
            raise ConfigError(
                f"fit.features: {', '.join(lacking)} not among the merged features",
                found=", ".join(sorted(known)) or "none",
                remedy="add them to merge.features, or correct the names",
            )

    def by_measures(self) -> dict[tuple[str, ...], list[str]]:
        """Return the samples by what is merged of them: there is a rule for each set."""
        found: dict[tuple[str, ...], list[str]] = {}
        for name, measures in self.measures.items():
            found.setdefault(tuple(measure.name for measure in measures), []).append(name)
        return found

    def tables(self, sample: str, name: str) -> tuple[str, str]:
        """Return the tidy and the wide table of a measure."""
        tidy = self._layout.analysis(f"{sample}_{name}.csv")
        return tidy, tidy.replace(".csv", "_wide.csv")

    def fitted(self, sample: str, name: str) -> str:
        """Return the table of fits to a measure."""
        assert self._config.fit is not None
        tidy, _ = self.tables(sample, name)
        return self._layout.analysis(fitted_name(tidy, self._config.fit.model))

    def everything(self) -> dict[str, str]:
        """Return the tables of all samples; the one in Parquet where pyarrow is installed."""
        names = {"csv": "traces.csv.gz", "samples": "samples.csv"}
        names |= {"parquet": "traces.parquet"} if find_spec("pyarrow") else {}
        return {key: self._layout.analysis(name) for key, name in names.items()}

    def files(self, sample: str) -> list[str]:
        """Return all files that are made of one sample."""
        merged = [file for m in self.measures[sample] for file in self.tables(sample, m.name)]
        return merged + [self.fitted(sample, measure.name) for measure in self.fits[sample]]

    def targets(self) -> list[str]:
        """Return all files of the analysis."""
        made = [file for sample in self.measures for file in self.files(sample)]
        return [*made, *self.everything().values()] if made else []

    def traces(self, *samples: str) -> dict[str, list[str]]:
        """Return the traces of samples, by default of all, and people's verdicts on them."""
        traces = [
            self._layout.file("traces", self.samples[name].dataset, fov)
            for name in samples or self.measures
            for fov in self.samples[name].fovs
        ]
        verdicts = [name for file in traces if Path(name := inspected(file)).exists()]
        return {"traces": traces, "inspected": verdicts}

    def options(self, sample: str) -> dict[str, Any]:
        """Return the parameters of a sample's merge; not what only the table of all shows."""
        return {
            "sample": sample,
            "dataset": self.samples[sample].dataset,
            "fovs": dict(self.samples[sample].fovs),
            "time_units": self._config.time_units,
            "measures": [tuple(measure) for measure in self.measures[sample]],
            "revision": MERGE_REVISION,
        }

    def all_options(self) -> dict[str, Any]:
        """Return the parameters of the tables of all samples."""
        return {"samples": [self._shown(s) for s in self.samples.values()],
                "revision": MERGE_REVISION}  # fmt: skip

    def _shown(self, sample: Sample) -> dict[str, Any]:
        plan = self._datasets[sample.dataset]
        names = {} if plan.header is None else dict(enumerate(plan.header.channels))
        return {
            "sample": sample.name,
            "dataset": sample.dataset,
            "fovs": dict(sample.fovs),
            "time_units": self._config.time_units,
            "about": {key: getattr(sample, key) for key in ("condition", "replicate", "problem")}
            | {"columns": dict(sample.columns), "left_out": dict(sample.left_out)},
            "channels": {index: names[index] for _, index in plan.channels},
        }

    def fit_options(self) -> dict[str, Any]:
        """Return the parameters of all fits."""
        settings = {} if self._config.fit is None else self._config.fit.model_dump()
        settings.pop("features", None)
        return {"settings": settings, "revision": FIT_REVISION}


def _places(plan: DatasetPlan) -> Places | None:
    if plan.header is None or not plan.fovs:
        return None
    names = {fov: name or "" for fov, name in enumerate(plan.header.positions)}
    return Places(names, frozenset(plan.fovs))


def measures_of(config: Config, plan: DatasetPlan) -> tuple[Measure, ...]:
    """Return what is merged of a dataset's samples.

    Raises ConfigError for a feature that is not measured.
    """
    features = config.extract.features
    areas = [name for name in AREAS if name == "area_um2" or name in features.pc]
    areas = areas if plan.pixel_um else [name for name in areas if name == "area"]
    wanted = config.merge.features
    if wanted is None:
        wanted = (*(name for name in features.fl if name == "intensity_total"), *areas[:1])
    found = []
    for name in wanted:
        if name == "area_um2" and name in areas:
            found.append(Measure(name, plan.phase, name))
        elif name in features.pc or name in features.fl:
            channels = plan.fl if name in features.fl else (plan.phase,)
            found += [Measure(name, channel, f"{name}_ch_{channel}") for channel in channels]
        else:
            raise ConfigError(
                f"merge.features: {name} is not measured",
                found=", ".join(dict.fromkeys([*features.fl, *features.pc, *areas])),
                remedy="name one of these, or add it to extract.features",
            )
    return tuple(found)
