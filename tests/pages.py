"""Pages of the documentation as tests see them: their fenced blocks, run in order as by a reader.

A block of commands (``bash``) or Python is run, unless ``<!-- not run: why -->`` stands above it. A
``text`` block right below one that is run is what comes out: the text must occur in its output;
``…`` stands for anything within a line, and alone on a line for any lines.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from paths import ROOT

RUNNABLE = ("bash", "python")
_FENCE = re.compile(
    r"(?P<reason><!-- not run: (?P<why>[^>]+) -->\n\s*)?"
    r"^(?P<indent> *)```(?P<language>\w*)\n(?P<text>.*?)^(?P=indent)```$",
    re.MULTILINE | re.DOTALL,
)
_PREAMBLE = f"""\
set -e
make() {{ command make -s -f "{ROOT}/Makefile" VENV="{sys.prefix}" READY= "$@"; }}
"""
"""The Makefile of the checkout, which stands elsewhere, with the environment of this process."""


@dataclass(frozen=True)
class Block:
    """A fenced block of a page; `why_not` is None where it is run."""

    page: str
    line: int
    language: str
    text: str
    why_not: str | None
    output: str | None

    @property
    def runnable(self) -> bool:
        """Whether it holds commands or Python."""
        return self.language in RUNNABLE

    @property
    def commands(self) -> list[str]:
        """The commands of a block of commands, without comments."""
        lines = self.text.replace("\\\n", " ").splitlines()
        lines = [re.sub(r"(^|\s+)#\s.*", "", line) for line in lines]
        return [line for line in lines if line.strip()]

    @property
    def place(self) -> str:
        """Page and line."""
        return f"{self.page}:{self.line}"


def page_names() -> list[str]:
    """Return all pages, relative to the project."""
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    return sorted(str(page.relative_to(ROOT)) for page in pages if "_build" not in page.parts)


def blocks(page: str) -> list[Block]:
    """Return the fenced blocks of a page, in order."""
    text = (ROOT / page).read_text(encoding="utf-8")
    found = list(_FENCE.finditer(text))
    made = []
    for match, following in zip(found, [*found, None][1:], strict=True):
        between = text[match.end() : following.start()] if following else "end"
        told = following is not None and following["language"] == "text" and not between.strip()
        made.append(
            Block(
                page=page,
                line=text.count("\n", 0, match.start("language")) + 1,
                language=match["language"],
                text=_dedent(match["text"], match["indent"]),
                why_not=match["why"],
                output=_dedent(following["text"], following["indent"]) if told else None,
            )
        )
    return made


def _dedent(text: str, indent: str) -> str:
    return "\n".join(line.removeprefix(indent) for line in text.splitlines()) + "\n"


def expectation(text: str) -> re.Pattern[str]:
    """Return what matches an output as a page writes it."""
    parts = []
    for line in text.rstrip().splitlines():
        if line.strip() == "…":
            parts.append(r"(?:.*\n)*?")
        else:
            inner = ".*".join(re.escape(part) for part in line.rstrip().split("…"))
            parts.append(rf"{inner}[ \t]*\n")
    return re.compile("^" + "".join(parts), re.MULTILINE)


@dataclass
class Reader:
    """Somebody who types what a page says, in a folder.

    `done` are outputs of commands that were run in this folder before, and are not run again.
    """

    folder: Path
    done: dict[tuple[str, ...], str] = field(default_factory=dict)
    names: dict[str, Any] = field(default_factory=dict)
    outputs: dict[int, str] = field(default_factory=dict)

    def follow(self, page: str) -> dict[int, str]:
        """Run all blocks of a page that are not marked; return their outputs by line."""
        for block in blocks(page):
            if block.runnable and block.why_not is None:
                self.run(block)
        return self.outputs

    def run(self, block: Block) -> str:
        """Run a block, compare what comes out with what the page says; return it."""
        told = self.done.get(tuple(block.commands))
        if told is None:
            told = self._python(block) if block.language == "python" else self._bash(block)
        self.outputs[block.line] = told
        if block.output is not None:
            shown = f"{block.place} says\n{block.output}\nbut this came out:\n{told}"
            assert expectation(block.output).search(told), shown
        return told

    def _bash(self, block: Block) -> str:
        place = self.folder / ".place"
        done = subprocess.run(
            ["bash", "-c", f'{_PREAMBLE}{block.text}\npwd > "{place}"'],
            cwd=self.folder,
            env=self._environment(),
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        assert done.returncode == 0, f"{block.place}\n{done.stdout}\n{done.stderr}"
        self.folder = Path(place.read_text().strip())
        place.unlink()
        return done.stdout

    def _environment(self) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith("FOVFLOW")}
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        return {**kept, "PATH": path, "PYTHONWARNINGS": "default"}

    def _python(self, block: Block) -> str:
        told = io.StringIO()
        with contextlib.chdir(self.folder), contextlib.redirect_stdout(told):
            exec(compile(block.text, block.place, "exec"), self.names)
        return told.getvalue()
