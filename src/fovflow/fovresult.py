"""One field of view and its files, as custom code sees it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fovflow.errors import FovflowError
from fovflow.layout import fov_name


@dataclass(frozen=True, slots=True)
class FovResult:
    """The files of one FOV. Nothing is opened before it is asked for, and it can be pickled.

    Attributes
    ----------
    index : int
    status : str
        ``complete``, ``failed``, ``outdated``, ``incomplete``, or ``unknown`` where no results file
        tells.
    step, error : str
        Where and why it failed.
    stacks : dict of str to dict of int to pathlib.Path
        Existing stacks by kind (``pc``, ``fl``, ``seg``, ``fl_corrected``, ``seg_labeled``) and
        channel.
    traces_path : pathlib.Path or None
        The traces; a person's verdicts (``…_inspected.csv``) take precedence.
    dataset : str
        Name of the dataset.
    path : pathlib.Path
        The FOV's folder.
    outputs : dict of str to dict of str to pathlib.Path
        Existing outputs of user steps, by step and name.
    metadata : dict
        What is known of the dataset: ``channels``, ``channel_names``, ``time_units``,
        ``pixel_um``, ``frames``, ``size``, ….
    """

    index: int
    status: str
    step: str = ""
    error: str = ""
    stacks: dict[str, dict[int, Path]] = field(default_factory=dict)
    traces_path: Path | None = None
    dataset: str = ""
    path: Path = Path()
    outputs: dict[str, dict[str, Path]] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The FOV in words: ``plate1/fov_003``."""
        return f"{self.dataset}/fov_{fov_name(self.index)}"

    def stack(self, kind: str, channel: int | None = None) -> Any:
        """Open a stack as a read-only memory map of shape (T, Y, X).

        Parameters
        ----------
        kind : str
        channel : int, optional
            Needed where there are several.
        """
        import numpy as np

        found = self.stacks.get(kind, {})
        if channel is None and len(found) == 1:
            channel = next(iter(found))
        if channel is None or channel not in found:
            raise FovflowError(
                f"FOV {self.index} has no stack {kind!r} of channel {channel}",
                found=", ".join(f"{k} {c}" for k, cs in self.stacks.items() for c in cs) or "none",
                remedy="name one of these; stacks that `keep` leaves out are removed after a run, "
                "and a user step is given only those that its `inputs` name",
            )
        return np.load(found[channel], mmap_mode="r", allow_pickle=False)

    def traces(self) -> Any:
        """Return the traces as a pandas.DataFrame; see `fovflow.features` for the columns."""
        import pandas as pd

        if self.traces_path is None:
            raise FovflowError(
                f"FOV {self.index} has no traces",
                found=f"status {self.status} {self.error}".rstrip(),
                remedy="run the pipeline again",
            )
        return pd.read_csv(self.traces_path)

    def times(self) -> Any:
        """Return the frames' times as a pandas.DataFrame: ``frame``, ``time_s``, ``missing``, …."""
        import pandas as pd

        return pd.read_csv(self._table("times"))

    def tracks(self) -> Any:
        """Return the links between detections as a pandas.DataFrame."""
        import pandas as pd

        return pd.read_csv(self._table("tracks"))

    def output(self, step: str, name: str | None = None) -> Path:
        """Return the path of a user step's output.

        Parameters
        ----------
        step : str
        name : str, optional
            Needed where the step has several.
        """
        found = self.outputs.get(step, {})
        if name is None and len(found) == 1:
            name = next(iter(found))
        if name is None or name not in found:
            raise FovflowError(
                f"FOV {self.index} has no output {name} of a step {step!r}",
                found=", ".join(f"{s}/{n}" for s, names in self.outputs.items() for n in names)
                or "none",
                remedy="name one of these; a user step is given only those that its `inputs` name",
            )
        return found[name]

    def _table(self, kind: str) -> Path:
        for path in sorted(self.path.glob(f"*_fov_{fov_name(self.index)}_{kind}.csv")):
            return path
        raise FovflowError(
            f"FOV {self.index} has no table of {kind}",
            found=f"no file …_{kind}.csv in {self.path}",
            remedy="run the pipeline again",
        )
