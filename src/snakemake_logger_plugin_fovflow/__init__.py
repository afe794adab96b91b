"""Snakemake's logger plugin ``fovflow``: records a run of the pipeline and shows it live.

The pipeline switches it on by itself; ``--logger fovflow`` is only needed to set its options. It
does nothing in other workflows.
"""

import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Optional

from snakemake_interface_common.exceptions import WorkflowError
from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.settings import LogHandlerSettingsBase

from fovflow.errors import complain

__all__ = ["LogHandler", "LogHandlerSettings"]


@dataclass
class LogHandlerSettings(LogHandlerSettingsBase):
    """Options of the plugin."""

    display: Optional[str] = field(  # noqa: UP045  (Snakemake reads this annotation)
        default=None,
        metadata={
            "help": "How the run is shown: live (drawn on the terminal), plain (Snakemake's own "
            "lines), brief (a line for each job that is done), or auto (live on a terminal).",
            "env_var": False,
            "required": False,
        },
    )


class LogHandler(LogHandlerBase):
    """Passes Snakemake's log records on to the recorder of the run."""

    def __post_init__(self) -> None:
        self._take: Callable[[logging.LogRecord], None] | None = None
        self._end: Callable[[], None] | None = None

    def connect(self, take: Callable[[logging.LogRecord], None], end: Callable[[], None]) -> None:
        """Set what takes the records, and what is called when there are no more."""
        self._take, self._end = take, end

    def emit(self, record: logging.LogRecord) -> None:
        """Pass a record on; an error ends the recording and nothing else.

        But for a `WorkflowError`, which says that this run may not begin.
        """
        if self._take is None:
            return
        try:
            self._take(record)
        except WorkflowError:
            raise
        except Exception as error:
            self._take = None
            complain(f"fovflow: the run is not recorded further, and goes on: {error!r}")

    def close(self) -> None:
        """End the recording."""
        end, self._end, self._take = self._end, None, None
        if end is not None:
            with suppress(Exception):
                end()
        super().close()

    writes_to_stream = False  # Snakemake's own stream handler stays in place
    writes_to_file = False
    has_filter = True  # all records are wanted, also those that are not shown
    has_formatter = True  # and are taken as they are
    needs_rulegraph = False
