"""The recipes of docs/extending.md, done to a copy of the package with the files that they name."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from paths import ROOT

PAGE = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")

READER = '''\
"""Frames as rows of text: numbers, one frame per line of a square."""

import numpy as np

from fovflow.readers.base import Channel, PlaneReader, Position, RawInfo
from fovflow.readers.times import regular_times


class TextReader(PlaneReader):
    """An open file of text."""

    def __init__(self, path, given=None):
        self._frames = np.loadtxt(path, skiprows=1, dtype=np.uint16, ndmin=2)
        side = int(self._frames.shape[1] ** 0.5)
        info = RawInfo("text", "TYX", len(self._frames), 1, side, side, "uint16",
                       (Position(0),), (Channel(0),))
        super().__init__(path, info, [regular_times(len(self._frames), 60.0, "nominal")], given)

    def _plane(self, p, t, c, z):
        return self._frames[t].reshape(self.info.height, self.info.width).copy()
'''
METHOD = '''\
"""Segmentation by a fixed grey level."""

import cv2
import numpy as np

from fovflow.segmentation.frames import FrameSegmenter, FrameStats
from fovflow.segmentation.masks import number_objects


class LevelSegmenter(FrameSegmenter):
    """Everything above a level is a cell."""

    def __init__(self, settings, pixel_um=None):
        self._level = settings.level

    def _segment(self, frame):
        mask = (frame.image > self._level).view(np.uint8)
        _, labels = cv2.connectedComponents(mask, connectivity=4, ltype=cv2.CV_32S)
        return number_objects(labels), FrameStats(self._level)
'''
SETTINGS = '''\
@dataclass(frozen=True, kw_only=True)
class LevelSegment(Settings):
    """Everything above a fixed grey level."""

    method: Literal["level"] = setting("level", "A fixed grey level.")
    level: float = setting(100.0, "Grey level above which a pixel is of a cell (counts).", ge=0)


'''
FEATURE = '''\
def double_area(view):
    """Return twice the number of pixels."""
    return 2.0 * view.cells.area


'''
COMMAND = '''\


@command("fovflow hello Ada", argument("name", help="who is greeted"))
def hello(name: str) -> int:
    """Greet somebody."""
    print(f"hello {name}")
    return 0
'''


class Tree:
    """A copy of the package that recipes are done to, and the files that they touched."""

    def __init__(self, folder: Path):
        self.source = folder / "src" / "fovflow"
        shutil.copytree(ROOT / "src", folder / "src", ignore=shutil.ignore_patterns("__pycache__"))
        self.touched: set[str] = set()

    def add(self, file: str, text: str) -> None:
        assert not (self.source / file).exists()
        (self.source / file).write_text(text, encoding="utf-8")
        self.touched.add(f"src/fovflow/{file}")

    def insert(self, file: str, before: str, text: str) -> None:
        content = (self.source / file).read_text(encoding="utf-8")
        assert content.count(before) == 1, before
        (self.source / file).write_text(content.replace(before, text + before), encoding="utf-8")
        self.touched.add(f"src/fovflow/{file}")

    def append(self, file: str, text: str) -> None:
        with (self.source / file).open("a", encoding="utf-8") as out:
            out.write(text)
        self.touched.add(f"src/fovflow/{file}")

    def python(self, *arguments: str, cwd: Path) -> str:
        env = {**os.environ, "PYTHONPATH": str(self.source.parent)}
        done = subprocess.run(
            [sys.executable, *arguments],
            capture_output=True, text=True, check=False, env=env, cwd=cwd, timeout=120,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout


def files_of(section: str) -> set[str]:
    """Return the files of the library that a section of the page tells to touch."""
    text = PAGE.split(f"\n## {section}\n")[1].split("\n## ")[0]
    table = [line for line in text.splitlines() if line.startswith("| `src/fovflow/")]
    return {match[1] for line in table if (match := re.match(r"\| `([^`]+)`", line))}


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path)


def named(tree: Tree, **names: str) -> set[str]:
    """Return the touched files with the page's NAME in place of the recipe's own names."""
    found = set()
    for file in tree.touched:
        for own, general in names.items():
            file = file.replace(f"{own}.py", f"{general}.py")  # noqa: PLW2901
        found.add(file)
    return found


def test_a_reader(tree, tmp_path):
    tree.add("readers/text.py", READER)
    tree.insert("readers/__init__.py", '    (b"ZISRAWFILE", "czi"),', '    (b"#frames", "text"),\n')
    tree.insert(
        "readers/__init__.py",
        '    "czi": _Builtin(',
        '    "text": _Builtin("text", "TextReader"),\n',
    )
    assert named(tree, text="NAME") == files_of("A reader")
    (tmp_path / "movie.txt").write_text("#frames\n" + "1 2 3 4\n" * 3, encoding="utf-8")
    code = (
        "import fovflow\n"
        "with fovflow.open_raw('movie.txt', pixel_um=0.5) as raw:\n"
        "    print(raw.info.format, raw.info.n_frames, raw.read(0, 2, 0).tolist())"
    )
    assert tree.python("-c", code, cwd=tmp_path) == "text 3 [[1, 2], [3, 4]]\n"


def test_a_method(tree, tmp_path):
    tree.add("segmentation/level.py", METHOD)
    tree.insert("config/methods.py", "SEGMENTERS = Registry", SETTINGS)
    row = '        "level": Method("fovflow.segmentation.level:LevelSegmenter", LevelSegment),\n'
    tree.insert("config/methods.py", '        "cellpose": Method(', row)
    assert named(tree, level="NAME") == files_of("A method of a step")
    code = (
        "import numpy as np, fovflow\n"
        "from fovflow.config import parse_config\n"
        "stack = np.zeros((2, 40, 40), np.uint16); stack[:, 5:20, 5:20] = 300\n"
        "print(fovflow.segment_stack(stack, method='level', level=200).max())\n"
        "base = {'datasets': {'a': {'path': 'a.nd2'}}}\n"
        "print(parse_config({**base, 'segment': {'method': 'level'}}).segment.level)\n"
        "try:\n"
        "    parse_config({**base, 'segment': {'method': 'level', 'level': -1}})\n"
        "except fovflow.ConfigError as error:\n"
        "    print('segment.level' in str(error))"
    )
    assert tree.python("-c", code, cwd=tmp_path) == "1\n100.0\nTrue\n"


def test_a_feature(tree, tmp_path):
    tree.insert("features/builtin.py", "def circularity(", FEATURE)
    row = '    _builtin("pc", "double_area", "px", "Twice the area."),\n'
    tree.insert("config/features.py", '    _builtin("pc", "circularity",', row)
    assert named(tree) == files_of("A feature")
    code = (
        "import numpy as np, fovflow\n"
        "labels = np.zeros((1, 40, 40), np.uint16); labels[0, 5:15, 5:25] = 1\n"
        "table = fovflow.extract_traces(labels, features={'pc': ['double_area']})\n"
        "print(table['double_area_ch_0'].tolist())"
    )
    assert tree.python("-c", code, cwd=tmp_path) == "[400.0]\n"


def test_a_command(tree, tmp_path):
    tree.insert("cli/__init__.py", '    "bench": (', '    "hello": ("data", "greet somebody"),\n')
    tree.append("cli/data.py", COMMAND)
    assert named(tree) == files_of("A command")
    assert tree.python("-m", "fovflow", "hello", "Ada", cwd=tmp_path) == "hello Ada\n"
    assert "greet somebody" in tree.python("-m", "fovflow", "--help", cwd=tmp_path)


def test_a_step_touches_few_files():
    """That the recipe works is tested in tests/workflow/test_new_step.py."""
    assert len(files_of("A step")) <= 5
