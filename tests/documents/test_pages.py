"""Every command and every piece of Python in the documentation is run, or says why it is not."""

from __future__ import annotations

import inspect
import re

import pytest
import yaml
from documents.prepared import ELSEWHERE, PREPARED, TOLD

import pages
from fovflow.config import parse_config
from fovflow.config.model import Config
from pages import Reader, blocks, expectation, page_names
from paths import ROOT

RUNNABLE = {page: [b for b in blocks(page) if b.runnable] for page in page_names()}


@pytest.mark.workflow
@pytest.mark.slow
@pytest.mark.parametrize("page", PREPARED)
def test_a_page_does_what_it_says(page, demo, tmp_path):
    made = {("make demo",): (demo / TOLD).read_text(encoding="utf-8")}
    reader = Reader(PREPARED[page](tmp_path, demo), done=made)
    reader.follow(page)
    run = [block.line for block in RUNNABLE[page] if block.why_not is None]
    assert sorted(reader.outputs) == run
    assert run


def test_nothing_is_left_out_in_silence():
    unsaid = [
        f"{block.place}: run it (tests/documents/prepared.py), or say above it why not: "
        "<!-- not run: it needs a cluster -->"
        for page, found in RUNNABLE.items()
        for block in found
        if block.why_not is None and page not in PREPARED and page not in ELSEWHERE
    ]
    assert not unsaid, "\n".join(unsaid)
    for page, test in ELSEWHERE.items():
        assert page in (ROOT / test).read_text(encoding="utf-8")


@pytest.mark.parametrize("page", page_names())
def test_commands_stand_in_fences(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    unfenced = re.sub(r"^ *```.*?^ *```$", "", text, flags=re.MULTILINE | re.DOTALL)
    assert not re.findall(
        r"^ {4,}(?:fovflow|snakemake|python|pip|make|import|from) .*", unfenced, re.M
    )


def test_what_is_not_run_is_counted(record_property):
    left_out = [b for found in RUNNABLE.values() for b in found if b.why_not is not None]
    run = [b for found in RUNNABLE.values() for b in found if b.why_not is None]
    for block in left_out:
        record_property("not run", f"{block.place}: {block.why_not}")
        print(f"{block.place}: {len(block.commands)} commands not run: {block.why_not}")
        assert block.why_not.startswith(("it ", "they ")), block.place
    count = sum(len(block.commands) for block in run)
    record_property("commands run", count)
    print(f"{len(run)} blocks with {count} lines run, {len(left_out)} blocks not run")
    tutorial = RUNNABLE["docs/tutorial.md"]
    assert all(block.why_not is None for block in tutorial)
    outputs = [block for block in blocks("docs/tutorial.md") if block.language == "text"]
    assert len(outputs) == sum(block.output is not None for block in tutorial) > 0
    (suite,) = [b for b in RUNNABLE["README.md"] if b.why_not is not None]
    assert suite.commands == ["make test"]


@pytest.mark.parametrize("page", page_names())
def test_configurations_in_pages_are_valid(page):
    for block in blocks(page):
        if block.language == "yaml":
            content = yaml.safe_load(block.text)
            if set(content) & set(Config.model_fields):
                parse_config({"datasets": {"sim": {"path": "raw/sim.nd2"}}} | content)


@pytest.mark.parametrize(
    ("said", "came", "holds"),
    [
        ("a\nb\n", "x\na\nb\ny\n", True),
        ("a\nb\n", "a\nx\nb\n", False),
        ("a\n…\nb\n", "a\nx\ny\nb\n", True),
        ("a\n…\nb\n", "a\nb\n", True),
        ("a\n…\nb\n", "b\na\n", False),
        ("took … s\n", "took 3.2 s\n", True),
        ("took … s\n", "took 3.2 min\n", False),
        ("1 of 2\n", "11 of 2\n", False),
        ("1 of 2\n", "1 of 20\n", False),
        ("a+b\n", "aab\n", False),
    ],
)
def test_outputs_are_compared(said, came, holds):
    assert bool(expectation(said).search(came)) is holds


def test_blocks_are_found(tmp_path, monkeypatch):
    text = inspect.cleandoc(
        """
        <!-- not run: it needs a cluster -->
        ```bash
        sbatch job   # a comment
        ```

        1. An item:

           ```bash
           # a comment
           echo "a" \\
             "b"
           ```

           ```text
           a b
           ```

        ```text
        not an output
        ```
        """
    )
    monkeypatch.setattr(pages, "ROOT", tmp_path)
    (tmp_path / "page.md").write_text(text + "\n")
    cluster, item, *_ = found = blocks("page.md")
    assert [block.language for block in found] == ["bash", "bash", "text", "text"]
    assert (cluster.why_not, cluster.output, cluster.line) == ("it needs a cluster", None, 2)
    assert (item.why_not, item.output, item.commands) == (None, "a b\n", ['echo "a"    "b"'])
    reader = Reader(tmp_path)
    assert reader.follow("page.md") == {8: "a b\n"}
    (tmp_path / "page.md").write_text(text.replace("a b", "a c") + "\n")
    with pytest.raises(AssertionError, match=r"page\.md:8 says"):
        reader.follow("page.md")
