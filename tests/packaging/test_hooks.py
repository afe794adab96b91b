"""The checks before a commit are those of `make check`, with programs that the project installs."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

import yaml

from paths import ROOT


def hooks() -> dict[str, list[str]]:
    content = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    (repo,) = content["repos"]
    assert repo["repo"] == "local"  # nothing is fetched
    return {hook["id"]: shlex.split(hook["entry"]) for hook in repo["hooks"]}


def test_the_file_is_valid():
    command = [sys.executable, "-m", "pre_commit", "validate-config"]
    done = subprocess.run(
        [*command, str(ROOT / ".pre-commit-config.yaml")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_hook_is_a_step_of_make_check():
    checks = (ROOT / "Makefile").read_text(encoding="utf-8").split("\ncheck:")[1].split("\n\n")[0]
    for name, (program, *arguments) in hooks().items():
        assert program.startswith(".venv/bin/")
        tool = program.rpartition("/")[2]
        assert (Path(sys.executable).parent / tool).exists(), f"{name}: {tool} is not installed"
        verb = [word for word in arguments if not word.startswith("-")]
        assert f"$(BIN)/{' '.join([tool, *verb])}" in checks, name
