"""Compare two recordings."""

from __future__ import annotations

import difflib
import json
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from projects import INFORMATIONAL, SECTIONS


def differences(before: Any, after: Any, path: str = "") -> Iterator[str]:
    """Yield each difference of two recordings, with its place."""
    if before == after:
        return
    if isinstance(before, dict) and isinstance(after, dict):
        for key in [*before, *(key for key in after if key not in before)]:
            place = f"{path} → {key}" if path else key
            if key not in after:
                yield f"{place}: gone"
            elif key not in before:
                yield f"{place}: new: {shortened(after[key])}"
            else:
                yield from differences(before[key], after[key], place)
    elif isinstance(before, list) and isinstance(after, list):
        as_lines = [
            [x if isinstance(x, str) else json.dumps(x, ensure_ascii=False) for x in items]
            for items in (before, after)
        ]
        lines = list(difflib.unified_diff(*as_lines, n=0, lineterm=""))[2:]
        yield path + "".join(f"\n    {shortened(line)}" for line in lines)
    else:
        yield f"{path}:\n    -{shortened(before)}\n    +{shortened(after)}"


def shortened(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return textwrap.shorten(text, 600) if len(text) > 600 else text


def compare(before: Path, after: Path) -> int:
    """Print all differences; return 1 if there are any outside of the records."""
    states = [json.loads(path.read_text(encoding="utf-8")) for path in (before, after)]
    print("before: {commit}, {seconds} s".format(**states[0]["about"]))
    print("after:  {commit}, {seconds} s".format(**states[1]["about"]))
    different = 0
    for section, words in (SECTIONS | INFORMATIONAL).items():
        found = list(differences(states[0][section], states[1][section]))
        informational = "; for information only" if section in INFORMATIONAL else ""
        size = len(states[0][section])
        print(f"\n{section} ({words}{informational}): {size} kept, {len(found)} differ")
        for line in found:
            print(f"  {line}")
        different += len(found) if section in SECTIONS else 0
    print(f"\n{different} differences" if different else "\nno differences")
    return 1 if different else 0
