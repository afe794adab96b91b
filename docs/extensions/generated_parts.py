"""Parts of pages that are made from the code when the site is built: ``<!-- made from: … -->``."""

from __future__ import annotations

import re
from typing import Any

from command_reference import command_reference

from fovflow.config.documents import reference

_MARK = re.compile(r"^<!-- made from: (.+) -->$", re.MULTILINE)


def configuration_reference() -> str:
    """Return the reference of the configuration without its title, which the page has."""
    return reference().split("\n", 1)[1]


MAKERS = {
    "the model of the configuration": configuration_reference,
    "the parsers of the commands": command_reference,
}


def fill_in(app: Any, name: str, source: list[str]) -> None:
    """Put the generated text in place of its mark."""
    source[0] = _MARK.sub(lambda mark: MAKERS[mark[1]](), source[0])


def setup(app: Any) -> dict[str, bool]:
    """Register with Sphinx."""
    app.connect("source-read", fill_in)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
