"""`fovflow.execution`: record what a script did, from what, and what came of it."""

from __future__ import annotations

import glob
import os
import sys
import tempfile
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import fovflow
from fovflow.errors import FovflowError, complain, words_of
from fovflow.events import number_of
from fovflow.records import read_json_object
from fovflow.runs.arguments import check_text
from fovflow.runs.assets import Outputs, Types, check_types
from fovflow.runs.datasets import files_of, find_dataset, write_dataset
from fovflow.runs.provenance import capture_environment, capture_inputs, capture_workflow
from fovflow.runs.run import Run
from fovflow.runs.script_crate import write_script_crate
from fovflow.runs.state import read_with_files
from fovflow.runs.store import ENVIRONMENT, JOB_EVENTS, RunFolder, find_run

if TYPE_CHECKING:
    from fovflow.config.execution import ExecutionConfig


_open_here: list[tuple[str, int]] = []
"""Ids of the executions that are open in this process, and the thread that opened each."""


def _parent() -> str | None:
    """Return the id of the run that an execution is begun in; None alone."""
    job, run = os.environ.get(JOB_EVENTS), os.environ.get(ENVIRONMENT)
    for thread in (threading.current_thread(), threading.main_thread()):
        if mine := [ident for ident, opener in _open_here if opener == thread.ident]:
            return mine[-1]
    if job and len(Path(job).parents) > 2:
        return Path(job).parents[2].name
    return Path(run).name if run else None


def _state(path: Path) -> tuple[int, ...]:
    """Return size and time of an input, by which a change is noticed."""
    with suppress(OSError):
        state = path.stat()
        return state.st_size, state.st_mtime_ns
    return ()


def _refuse(bad: list[str]) -> None:
    """Raise FovflowError if there are outputs that cannot be recorded."""
    if bad:
        raise FovflowError(
            "an output cannot be recorded",
            found="; ".join(bad[:3]),
            remedy="write regular files that can be read",
        )


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


def resume(wanted: str, outdir: str | os.PathLike[str] = "results") -> Execution:
    """Return an execution that has ended, to go on with it in a ``with`` statement.

    It keeps its id and all that is recorded; its history tells that it was resumed, and it ends
    again. Outputs are added; none that is there is replaced.

    Parameters
    ----------
    wanted : str
        Its id or name; see `fovflow.runs.store.find_run`.
    outdir : path-like

    Raises
    ------
    FovflowError
        If there is no such execution. One that is at work is refused when it is entered.
    """
    from fovflow.config.execution import ExecutionConfig

    folder = RunFolder(find_run(Path(outdir).expanduser(), wanted).path.absolute())
    kind = folder.read_record().get("kind")
    if kind != "execution":
        raise FovflowError(f"the run {folder.id} is no execution", found=f"a run of kind {kind}")
    return Execution(ExecutionConfig(outdir=os.fspath(folder.outdir)), former=folder)


def abandon(wanted: str, outdir: str | os.PathLike[str] = "results") -> Execution:
    """End an execution that was killed: as terminated, with the outputs that it left behind.

    `wanted`, `outdir`: as for `resume`, which goes on with it instead.
    """
    with resume(wanted, outdir) as exe:
        exe.run.session.folder.set_status("terminated", "abandoned")
    return exe


class Execution:
    """A running execution.

    Attributes
    ----------
    run : Run
        To log metrics, events and alerts.
    dry_run : bool
    """

    def __init__(
        self, config: ExecutionConfig, *, dry_run: bool = False, former: RunFolder | None = None
    ):
        self.dry_run = dry_run
        self._former = former
        self._inputs: list[tuple[Path, tuple[int, ...]]] = []
        self._materialized: dict[Path, list[Path]] = {}
        self._config = config
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        self._outdir = Path(config.outdir).absolute()
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
        inputs = self._capture_inputs()
        if self.dry_run:
            self._temporary = tempfile.TemporaryDirectory(prefix="fovflow-dry-run-")
        outdir = Path(self._temporary.name) if self._temporary else self._outdir
        self.run = Run(outdir=outdir)
        self.run.config(suppress_errors=False)
        self.run.joins = False  # a record of its own, also inside a job
        if self._former is None:
            self._begin(inputs)
        else:
            self.run.reopen(self._former)
        self._opened = self.id, threading.get_ident()
        _open_here.append(self._opened)
        self._started = time.monotonic()
        self._status = "running"
        folder = self.run.session.folder
        self._outputs = Outputs(folder.path, read_with_files(folder).announced)
        try:
            self._materialize(inputs)
        except BaseException as error:
            self.__exit__(type(error), error, error.__traceback__)
            raise
        return self

    def _begin(self, inputs: list[dict[str, Any]]) -> None:
        config = self._config
        self.run.content = {
            "kind": "execution",
            "workflow": self._workflow(),
            "working_directory": os.getcwd(),  # noqa: PTH109  (as it is told to others)
            "workflow_type": config.workflow_type,
            "vocabulary": config.vocabulary or None,
            "parameters": dict(config.parameters),
            "inputs": inputs,
            "environment": capture_environment(),
            "parent": _parent(),
        }
        self.run.init(config.name, config.metadata, config.tags, config.description)

    def _capture_inputs(self) -> list[dict[str, Any]]:
        """Return the inputs with their digests; remember how they are now."""
        given = []
        for role, ones in (("dataset", self._config.datasets), ("asset", self._config.assets)):
            for one in ones:
                about = one.model_dump(exclude_defaults=True)
                if one.dataset:
                    record = find_dataset(self._outdir, one.dataset, one.version)
                    version = str(read_json_object(record).get("version"))
                    about |= {"path": os.fspath(record), "version": version, "name": one.dataset}
                given.append({**about, "role": role})
        inputs = capture_inputs(given)
        for found in inputs:
            if "problem" in found:
                raise FovflowError(f"an input cannot be read: {found['problem']}")
        paths = [Path(found["path"]).expanduser().absolute() for found in inputs]
        self._inputs = [(path, _state(path)) for path in paths]
        return inputs

    def _materialize(self, inputs: list[dict[str, Any]]) -> None:
        """Copy the members of datasets for which that is asked."""
        for found in inputs:
            if found.get("materialize"):
                record, copies = Path(found["path"]), list[Path]()
                for path in files_of(record):
                    name = f"{record.stem}/{path.name}"
                    about = self.run.session.kept.keep_file(path, "input", filetype=None, name=name)
                    self.run.session.write("artifact", **about)
                    copies.append(self.folder / about["path"])
                self._materialized[record] = copies

    def members(self, dataset: str, version: str | None = None) -> list[Path]:
        """Return the files of a dataset that an execution in the output folder has made.

        Those of datasets in it are among them. Where the dataset is an input with ``materialize``,
        they are the copies. Raises FovflowError if there is no such dataset, or a member is not
        what was recorded.
        """
        record = find_dataset(self._outdir, dataset, version)
        return self._materialized.get(record) or files_of(record)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.run.is_forked:
            return
        try:
            self._finish(quiet=error is not None)
        except BaseException as problem:
            if error is None:
                self.run.__exit__(type(problem), problem, problem.__traceback__)
                raise
        finally:
            self.run.__exit__(kind, error, trace)
            _open_here.remove(self._opened)
            self._status = self.run.status
            try:
                write_script_crate(RunFolder(self.folder))
            except (FovflowError, OSError) as problem:
                complain(f"fovflow: the crate of {self.id} is not written: {problem}")
            if self._temporary is not None:
                self._temporary.cleanup()

    def update_status(self, message: str) -> None:
        """Record in words how far the work is."""
        text = check_text("message", message, empty=False)
        self._open()
        self.run.session.write("status", status="running", message=text)

    def output_path(self, type: Types, name: str | os.PathLike[str]) -> Path:
        """Return the path of a new output, to be written by the script.

        Parameters
        ----------
        type : str, or list of str
            What kind of output it is, such as ``Model`` or ``["Mask", "Derived"]``; the first one
            is its folder.
        name : str
            File name, perhaps with folders.

        Raises
        ------
        FovflowError
            If there is such an output already, or the name climbs out of the folder.
        """
        target, about = self._open().new_path(type, name)
        self.run.session.write("announced", **about)
        return target

    def register(
        self,
        path: str | os.PathLike[str],
        type: Types,
        mode: str = "link",
        rename: str | None = None,
    ) -> Path:
        """Take an existing file as an output; return its place among the outputs.

        Parameters
        ----------
        path : path-like
        type : str, or list of str
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
        *,
        types: Types = (),
        extends: str | None = None,
    ) -> Path:
        """Record a dataset made of files that are there; return the record's path.

        Parameters
        ----------
        members : iterable of path-like
            Files, each once; their sizes and SHA-256 are recorded. The record of a dataset, as this
            returns it, is that dataset, with its members.
        version : str
            Such as ``1.0.0``; each name and version is made once per output folder.
        name : str, optional
            The execution's name by default.
        description : str
        types : list of str
            What kind of dataset it is, such as ``Training``.
        extends : str, optional
            An earlier version, whose members it has besides.
        """
        outputs, terms = self._open(), check_types(types)
        path = write_dataset(
            self._outdir, self.folder, members,
            name=name or self.run.name, version=version, description=description,
            types=terms, extends=extends,
        )  # fmt: skip
        self.run.session.write("artifact", **outputs.describe(path, ["dataset", *terms]))
        return path

    def _open(self) -> Outputs:
        if self._outputs is None or self._status != "running":
            raise FovflowError("the execution is not running", remedy="use it inside `with`")
        return self._outputs

    def _finish(self, *, quiet: bool) -> None:
        """Record the outputs that were announced, also partial ones of a failed execution."""
        outputs = self._open()
        try:
            made, absent, bad = outputs.written()
            for about in made:
                self.run.session.write("artifact", **about)
            for name in absent:
                text = f"the output {name} was announced and not made"
                self.run.session.write("message", message=text, level="warning")
            for path, state in self._inputs:
                if _state(path) != state:
                    text = f"the input {path} was changed during the execution"
                    self.run.session.write("message", message=text, level="warning")
                    complain(f"fovflow: {text}")
            folder = self.run.session.folder
            before = number_of(folder.read_record().get("duration_s")) or 0.0
            folder.update(duration_s=round(before + time.monotonic() - self._started, 3))
            _refuse(bad)
        except (FovflowError, OSError) as error:
            if not quiet:
                raise
            complain(f"fovflow: outputs are not recorded: {words_of(error)}")

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
