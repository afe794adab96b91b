"""What holds for all tests."""

import os
import re
import signal
from collections.abc import Generator
from typing import Any

import pytest
from hypothesis import settings

# No test fails because the machine is busy.
settings.register_profile("fovflow", deadline=None)
settings.load_profile("fovflow")

# A shell starts what runs in its background with Ctrl-C ignored, and `nohup` ignores the end of the
# terminal; children inherit that, and tests that send these signals would wait in vain.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

_ABSENT = re.compile(
    r"could not import '(?!laptrack)|example file |there is no |\S+ is not installed"
)
"""Reasons for which a test is skipped, where what it needs belongs to a complete environment."""


def _fail_where_nothing_may_be_absent(report: Any) -> Any:
    """With ``CI=true`` a skip for what is absent becomes a failure that says so."""
    if os.environ.get("CI") == "true" and report.skipped and isinstance(report.longrepr, tuple):
        reason = str(report.longrepr[2]).removeprefix("Skipped: ")
        if _ABSENT.match(reason):
            report.outcome = "failed"
            report.longrepr = f"with CI=true this may not be absent: {reason}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, Any, Any]:
    """Look at why tests are skipped."""
    return _fail_where_nothing_may_be_absent((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, Any, Any]:
    """Look at why whole modules are skipped."""
    return _fail_where_nothing_may_be_absent((yield))
