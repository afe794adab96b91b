"""What is made of the samples: files, inputs and parameters of the rules, and the work."""

from __future__ import annotations

from collections.abc import Container, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fovflow.analysis.fits import FIT_REVISION, check_settings, fitted_name, write_fits
from fovflow.analysis.merge import Measure, Source, everything_in, merge_all, merge_sample
from fovflow.analysis.samples import Places, Sample, place_of_well, resolve_samples
from fovflow.atomic import sha256_or_none
from fovflow.config import Config
from fovflow.errors import ConfigError
from fovflow.kinetics.models import MODELS
from fovflow.layout import ANALYSIS, LOGS, Layout, inspected
from fovflow.planning.dataset import DatasetPlan
from fovflow.plugins import code_files
from fovflow.results import traces_or_verdicts
from fovflow.states import COMPLETE, CONTENT, Folder, Wanted, WantedJob, state_of

if TYPE_CHECKING:
    from fovflow.analysis.answer import Table

MERGE_REVISION = 1
"""Raised whenever the same traces would give other tables."""

Lost = Mapping[str, Mapping[int, str]]
"""For each sample its FOVs that have failed, and why."""


class AnalysisPlan:
    """The samples of a configuration, and what is made of them.

    Raises ConfigError if samples, features to merge or to fit, or parameters to fit are not there.

    Attributes
    ----------
    samples : dict of str to Sample
    measures, fits : dict of str to tuple of Measure
        What is merged, and fitted, of each sample that has FOVs.
    """

    def __init__(self, config: Config, layout: Layout, datasets: Mapping[str, DatasetPlan]):
        self._config, self._layout, self._datasets = config, layout, datasets
        places = {name: _places(plan) for name, plan in datasets.items()}
        self.samples = {each.name: each for each in resolve_samples(config.samples, places)}
        self.measures = {
            name: measures_of(config, datasets[sample.dataset])
            for name, sample in self.samples.items()
            if sample.fovs
        }
        fitted = config.fit.features if config.fit is not None else ()
        self.fits = {
            name: tuple(measure for measure in measures if measure.feature in fitted)
            for name, measures in self.measures.items()
        }
        known = {measure.feature for measures in self.measures.values() for measure in measures}
        if known and (lacking := [name for name in fitted if name not in known]):
            raise ConfigError(
                f"fit.features: {', '.join(lacking)} not among the merged features",
                found=", ".join(sorted(known)),
                remedy="add them to merge.features, or correct the names",
            )
        if config.fit is not None:
            check_settings(self.fit_options()["settings"])

    # ---- files

    def by_measures(self) -> dict[tuple[str, ...], list[str]]:
        """Return the samples by what is merged of them: there is a rule for each set."""
        found: dict[tuple[str, ...], list[str]] = {}
        for name, measures in self.measures.items():
            found.setdefault(tuple(measure.name for measure in measures), []).append(name)
        return found

    def tables(self, sample: str, name: str) -> tuple[str, str]:
        """Return the tidy and the wide table of a measure."""
        stem = self._layout.analysis(f"{sample}_{name}")
        return f"{stem}.csv", f"{stem}_wide.csv"

    def merged(self, sample: str) -> list[str]:
        """Return the tables of a sample."""
        return [file for each in self.measures[sample] for file in self.tables(sample, each.name)]

    def fitted(self, sample: str, name: str) -> str:
        """Return the table of fits to a measure."""
        assert self._config.fit is not None
        tidy, _ = self.tables(sample, name)
        return self._layout.analysis(fitted_name(tidy, self._config.fit.model))

    def everything(self) -> dict[str, str]:
        """Return the tables of all samples."""
        return everything_in(self._folder)

    @property
    def _folder(self) -> str:
        return self._layout.analysis("").rstrip("/")

    def compared(self) -> list[Table]:
        """Return the tables that the statistics are made of; none where they are not asked for."""
        if self._config.statistics is None:
            return []
        from fovflow.analysis.answer import Table

        fit = self._config.fit
        tidy = [
            Table(name, each.name, "", Path(self.tables(name, each.name)[0]))
            for name, measures in self.measures.items()
            for each in measures
        ]
        return tidy + [
            Table(name, each.name, fit.model, Path(self.fitted(name, each.name)))
            for name, measures in self.fits.items()
            for each in measures
            if fit
        ]

    def answer(self) -> list[str]:
        """Return the files of the statistics; none where they are not asked for."""
        if not (tables := self.compared()):
            return []
        from fovflow.analysis.answer import picture_file

        pictures = map(picture_file, self._pictures(tables))
        names = ("statistics.csv", "comparisons.csv", *pictures)
        return [self._layout.analysis(name) for name in names]

    def _pictures(self, tables: list[Table]) -> list[str]:
        from fovflow.analysis.answer import picture_names

        conditions = [sample.condition for sample in self.samples.values()]
        fixed = self._config.fit.fixed if self._config.fit else ()
        return picture_names(tables, conditions, fixed)

    def targets(self) -> list[str]:
        """Return all files of the analysis."""
        ready = [name for name in self.measures if self._can_make(name)]
        made = [file for name in ready for file in self.merged(name)]
        everything = self.everything().values() if made and self._can_make() else ()
        return list(dict.fromkeys([*made, *everything, *self.reported()]))

    def reported(self) -> list[str]:
        """Return the files that the report tells of, where they can be made now."""
        fits = [
            self.fitted(name, each.name)
            for name, measures in self.fits.items()
            if self._can_make(name)
            for each in measures
        ]
        if not (self.measures and self._can_make()):
            return fits
        return [*fits, self.everything()["samples"], *self.answer()]

    def _can_make(self, *names: str) -> bool:
        """Tell whether no FOV of samples, by default all, is outdated and held as it is."""
        samples = [self.samples[name] for name in names or self.measures]
        return all(self._datasets[each.dataset].held.isdisjoint(each.fovs) for each in samples)

    def traces(self, *samples: str) -> list[str]:
        """Return the traces of samples, by default of all, and people's verdicts on them."""
        traces = [
            self._layout.file("traces", self.samples[name].dataset, fov)
            for name in samples or self.measures
            for fov in self.samples[name].fovs
        ]
        return traces + [name for file in traces if Path(name := inspected(file)).exists()]

    # ---- parameters

    def options(self, sample: str) -> dict[str, Any]:
        """Return what a sample's tables depend on, not what only the table of all shows."""
        return {
            "fovs": list(self.samples[sample].fovs),
            "time_units": self._config.time_units,
            "measures": [tuple(measure) for measure in self.measures[sample]],
            "revision": MERGE_REVISION,
        }

    def all_options(self) -> dict[str, Any]:
        """Return what the tables of all samples depend on."""
        shown = [(repr(sample), self._channels(sample)) for sample in self.samples.values()]
        return {"samples": shown, "time_units": self._config.time_units, "revision": MERGE_REVISION}

    def fit_options(self) -> dict[str, Any]:
        """Return the parameters of all fits."""
        settings = self._config.fit.model_dump(exclude={"features"}) if self._config.fit else {}
        options = {"settings": settings, "revision": FIT_REVISION}
        code = code_files("models", [settings["model"]] if settings else [], MODELS)
        content = {name: sha256_or_none(path) for name, path in code.items()}
        return {**options, CONTENT: content} if content else options

    def statistics_options(self) -> dict[str, Any]:
        """Return what the statistics depend on besides the tables."""
        from fovflow.analysis.answer import ANSWER_REVISION

        settings = self._config.statistics.model_dump() if self._config.statistics else {}
        shown = [(s.name, s.condition, s.replicate) for s in self.samples.values()]
        options = {"settings": settings, "samples": shown, "revision": ANSWER_REVISION}
        return {**options, "places": places} if (places := self.places()) else options

    def places(self) -> list[tuple[str, int, float, float]]:
        """Return sample, FOV, x and y of the FOVs whose places on the plate are known.

        They are where the stage stood, or else columns and rows of wells: one of the two for all,
        whichever is known of more FOVs.
        """
        stage, wells = [], []
        for name, sample in self.samples.items():
            header = self._datasets[sample.dataset].header
            for fov, position in sample.fovs.items():
                if header is not None and fov < len(header.stage_um):
                    stage.append((name, fov, *header.stage_um[fov]))
                if well := place_of_well(position):
                    wells.append((name, fov, *well))
        return max(stage, wells, key=len)

    def jobs(self) -> list[WantedJob]:
        """Return the jobs that make the files of the analysis, for `fovflow.states`.

        Their files and records are relative to the output folder.
        """
        found = []
        for name in self.measures:
            merged = self.merged(name)
            found.append(self._job(f"{name}/merge", self.options(name), self.traces(name), merged))
            for each in self.fits[name]:
                files = [self.tables(name, each.name)[0]], [self.fitted(name, each.name)]
                found.append(self._job(f"{name}/fit_{each.name}", self.fit_options(), *files))
        if found:
            made = [*self.everything().values()]
            found.append(self._job("merge_everything", self.all_options(), self.traces(), made))
        if answer := self.answer():
            reads = [str(table.path) for table in self.compared()]
            found.append(self._job("statistics", self.statistics_options(), reads, answer))
        return found

    def states(self) -> dict[str, dict[str, Any]]:
        """Return the state of each job by its name; see `fovflow.states.state_of`."""
        folder = Folder(self._layout.outdir)
        return {job.step: state_of([job], folder) for job in self.jobs()}

    def statuses(self, dataset: str, stale: Container[int] = ()) -> dict[str, dict[str, Any]]:
        """Return the state of each sample of a dataset, by its name.

        `stale`: FOVs of which the traces will be made again.
        """
        found: dict[str, dict[str, Any]] = {}
        for job, state in self.states().items():
            name, _, step = job.rpartition("/")
            if name and self.samples[name].dataset == dataset:
                of_job = {**state, "step": step} if "step" in state else state
                if of_job == COMPLETE and any(fov in stale for fov in self.samples[name].fovs):
                    of_job = {"status": "outdated", "step": "merge"}
                if found.get(name, {"status": "complete"})["status"] == "complete":
                    found[name] = of_job
        return found

    def maker(self, table: Table) -> str:
        """Return the name of the job that makes a table."""
        return f"{table.sample}/{f'fit_{table.measure}' if table.model else 'merge'}"

    def _job(self, name: str, options: Any, reads: list[str], makes: list[str]) -> WantedJob:
        start = len(self._layout.outdir) + 1
        files = tuple(file[start:] for file in makes)
        record = f"{LOGS}/{ANALYSIS}/{name}.json"
        inputs = tuple(file[start:] for file in reads)
        return WantedJob(name, record, Wanted.of(options), files, files, inputs)

    # ---- the work

    def merge(self, sample: str, lost: Lost | None = None) -> str:
        """Write the tables of one sample; return in words what was left out."""
        source = self._source(self.samples[sample], lost or {})
        merge_sample(source, self.measures[sample], Path(self._folder))
        return source.left_out_words()

    def merge_everything(self, lost: Lost | None = None) -> None:
        """Write the tables of all samples."""
        sources = [self._source(sample, lost or {}) for sample in self.samples.values()]
        merge_all(sources, self._folder)

    def fit(self, sample: str, name: str, threads: int | None = None) -> None:
        """Write the table of fits to a measure."""
        tidy, _ = self.tables(sample, name)
        settings = {**self.fit_options()["settings"], "threads": threads}
        write_fits(tidy, self.fitted(sample, name), settings)

    def compare(self, tables: list[Table] | None = None) -> None:
        """Write the statistics, by default of all tables."""
        import pandas as pd

        from fovflow.analysis.answer import write_statistics

        options, tables = self.statistics_options(), tables or self.compared()
        about = pd.DataFrame(options["samples"], columns=["sample", "condition", "replicate"])
        columns = ["sample", "fov", "x", "y"]
        places = pd.DataFrame(options["places"], columns=columns) if "places" in options else None
        names = self._pictures(tables)
        made = write_statistics(
            self._folder, about, options["settings"], places=places, tables=tables, names=names
        )
        for picture in {*map(Path, self.answer())}.difference(made):  # of tables that are gone
            picture.unlink(missing_ok=True)

    def _source(self, sample: Sample, lost: Lost) -> Source:
        failed = dict(lost.get(sample.name, {}))
        traces = {
            fov: traces_or_verdicts(Path(self._layout.file("traces", sample.dataset, fov)))
            for fov in sample.fovs
            if fov not in failed
        }
        units = self._config.time_units
        return Source(sample, traces, units, self._channels(sample), failed)

    def _channels(self, sample: Sample) -> dict[int, str]:
        plan = self._datasets[sample.dataset]
        names = plan.header.channels if plan.header else ()
        return {index: names[index] for _, index in plan.channels}


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
    areas = ["area_um2"] * (plan.pixel_um is not None) + ["area"] * ("area" in features.pc)
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
