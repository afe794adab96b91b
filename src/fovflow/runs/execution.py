"""`fovflow.execution`: record what a script did, from what, and what came of it."""

from __future__ import annotations

import glob
import os
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import fovflow
from fovflow.errors import FovflowError, complain
from fovflow.runs.arguments import check_text
from fovflow.runs.artifacts import Outputs, write_dataset
from fovflow.runs.provenance import capture_environment, capture_inputs, capture_workflow
from fovflow.runs.run import Run

if TYPE_CHECKING:
    from fovflow.config.execution import ExecutionConfig


def execution(config: Any = None, *, dry_run: bool = False, **keys: Any) -> Execution:
    """Return an execution, to be used in a ``with`` statement.

    Parameters
    ----------
    config : mapping, path-like, or Config, optional
        Keys of `fovflow.config.execution.ExecutionConfig`, a YAML file with them, or a
        configuration of the pipeline, whose ``run``, ``outdir`` and ``datasets`` are taken.
    dry_run : bool
        Write nothing that stays: everything goes into a temporary folder that is removed.
    **keys
        Keys that win over `config`.

    Raises
    ------
    ConfigError
        If a key or value is wrong.

    Examples
    --------
    >>> import tempfile
    >>> with execution(outdir=tempfile.mkdtemp(), workflow_type="analysis") as exe:
    ...     exe.output_path("Table", "answer.csv").write_text("42")
    2
    >>> exe.status
    'completed'
    """
    from fovflow.config.execution import parse_execution

    return Execution(parse_execution(config, keys), dry_run=dry_run)


class Execution:
    """A running execution.

    Attributes
    ----------
    run : Run
        To log metrics, events and alerts.
    dry_run : bool
    """

    def __init__(self, config: ExecutionConfig, *, dry_run: bool = False):
        self.dry_run = dry_run
        self._config = config
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        self._outdir = Path(config.outdir)
        self._outputs: Outputs | None = None
        self._status = "created"
        self._started = 0.0
        self.run = Run(outdir=self._outdir)

    @property
    def id(self) -> str:
        """The execution's stable id."""
        return self.run.id

    @property
    def folder(self) -> Path:
        """The folder with all that is recorded."""
        return Path(self.run.path)

    @property
    def status(self) -> str:
        """The status, also after the end."""
        return self._status

    def __enter__(self) -> Self:
        if self._outputs is not None:
            raise FovflowError("an execution is entered once", remedy="make another one")
        config = self._config
        inputs = capture_inputs(
            [{**one.model_dump(exclude_none=True), "role": role}
             for role, ones in (("dataset", config.datasets), ("asset", config.assets))
             for one in ones]
        )  # fmt: skip
        for one in inputs:
            if "problem" in one:
                raise FovflowError(f"an input cannot be read: {one['problem']}")
        if self.dry_run:
            self._temporary = tempfile.TemporaryDirectory(prefix="fovflow-dry-run-")
        outdir = Path(self._temporary.name) if self._temporary else self._outdir
        self.run = Run(outdir=outdir)
        self.run.config(suppress_errors=False)
        self.run.joins = False  # a record of its own, also inside a job
        self.run.content = {
            "kind": "execution",
            "workflow": self._workflow(),
            "working_directory": os.getcwd(),  # noqa: PTH109  (as it is told to others)
            "workflow_type": config.workflow_type,
            "parameters": dict(config.parameters),
            "inputs": inputs,
            "environment": capture_environment(),
        }
        self.run.init(config.name, config.metadata, config.tags, config.description)
        self._started = time.monotonic()
        self._status = "running"
        self._outputs = Outputs(self.folder)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self._finish(quiet=error is not None)
        except BaseException as problem:
            if error is None:
                self.run.__exit__(type(problem), problem, problem.__traceback__)
                raise
        finally:
            self.run.__exit__(kind, error, trace)
            self._status = self.run.status
            if self._temporary is not None:
                self._temporary.cleanup()

    def update_status(self, message: str) -> None:
        """Record in words how far the work is."""
        text = check_text("message", message, empty=False)
        self._open()
        self.run.session.write("status", status="running", message=text)

    def output_path(self, type: str, name: str | os.PathLike[str]) -> Path:
        """Return the path of a new output, to be written by the script.

        Parameters
        ----------
        type : str
            What kind of output it is, such as ``Model`` or ``Table``: a folder.
        name : str
            File name, perhaps with folders.

        Raises
        ------
        FovflowError
            If there is such an output already, or the name climbs out of the folder.
        """
        return self._open().new_path(type, name)

    def register(
        self,
        path: str | os.PathLike[str],
        type: str,
        mode: str = "link",
        rename: str | None = None,
    ) -> Path:
        """Take an existing file as an output; return its place among the outputs.

        Parameters
        ----------
        path : path-like
        type : str
            As for `output_path`.
        mode : {"link", "copy"}
            A symbolic link, or a copy made in pieces.
        rename : str, optional
            Another name.

        Raises
        ------
        FovflowError
            If there is such an output already, also where it is a link (nothing is ever written
            through a link), or the file is absent.
        """
        target, about = self._open().register(path, type, mode, rename)
        self.run.session.write("artifact", **about)
        return target

    def create_dataset(
        self,
        members: Iterable[str | os.PathLike[str]],
        version: str,
        name: str | None = None,
        description: str = "",
    ) -> Path:
        """Record a dataset made of files that are there; return the record's path.

        Parameters
        ----------
        members : iterable of path-like
            Files, each once; their sizes and SHA-256 are recorded.
        version : str
            Such as ``1.0.0``; each name and version is made once per output folder.
        name : str, optional
            The execution's name by default.
        description : str
        """
        outputs = self._open()
        path = write_dataset(
            self._outdir, self.folder, members,
            name=name or self.run.name, version=version, description=description,
        )  # fmt: skip
        self.run.session.write("artifact", **outputs.describe(path, "dataset"))
        return path

    def _open(self) -> Outputs:
        if self._outputs is None or self._status != "running":
            raise FovflowError("the execution is not running", remedy="use it inside `with`")
        return self._outputs

    def _finish(self, *, quiet: bool) -> None:
        """Record the outputs that were announced, also partial ones of a failed execution."""
        outputs = self._open()
        try:
            made, absent = outputs.written()
            for about in made:
                self.run.session.write("artifact", **about)
            for name in absent:
                text = f"the output {name} was announced and not made"
                self.run.session.write("message", message=text, level="warning")
            self.run.session.folder.update(duration_s=round(time.monotonic() - self._started, 3))
        except (FovflowError, OSError) as error:
            if not quiet:
                raise
            complain(f"fovflow: outputs are not recorded: {error}")

    def _workflow(self) -> dict[str, Any]:
        """Return which script runs."""
        main = getattr(sys.modules.get("__main__"), "__file__", None)
        script = Path(main) if main else None
        folder = script.parent if script else Path()
        patterns = [glob.escape(script.name)] if script else []
        name = self._config.workflow or (script.stem if script else "interactive")
        found = capture_workflow(folder, name=name, patterns=patterns)
        own = {"version": self._config.workflow_version, "fovflow": fovflow.__version__}
        return {**found, **own}
