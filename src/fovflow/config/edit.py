"""A section in the text of a configuration, changed so that all other bytes stay."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import yaml

from fovflow.errors import ConfigError
from fovflow.records import parse_yaml


def section_line(name: str, section: Any) -> str:
    """Return a section, or a value, as one line of YAML.

    Examples
    --------
    >>> section_line("segment", {"method": "logstd", "n_sigma": 3})
    'segment: {method: logstd, n_sigma: 3}'
    """
    return f"{name}: {_flow(section)}"


def _flow(value: Any) -> str:
    text = yaml.safe_dump(
        value, default_flow_style=True, sort_keys=False, allow_unicode=True, width=float("inf")
    )
    return text.removesuffix("...\n").rstrip("\n")


def replace_section(
    text: str, name: str, section: Mapping[str, Any], defaults: Mapping[str, Any]
) -> str:
    """Return the text of a configuration with another content of one of its sections.

    What stands on one line is replaced by one line; its comment stays. Of a section with a line
    per key the lines are changed of the keys that differ, and those are made comments that the
    section's method does not have. Where there is no such section, a line comes at the end.

    `section`: the new content. `defaults`: all parameters of its method, with their values where
    the section does not name them.

    Raises ConfigError where the text is written so that this cannot be done.
    """
    line = section_line(name, section)
    try:
        whole: Any = yaml.compose(text, yaml.SafeLoader)
        pairs = [(k, v) for k, v in whole.value if k.value == name]
        if not pairs:
            end = "\r\n" if "\r\n" in text else "\n"
            changed = text + ("" if text.endswith("\n") else end) + line + end
        elif pairs[0][1].flow_style or not isinstance(pairs[0][1], yaml.MappingNode):
            changed = _in_one_line(text, pairs[0][1], pairs[0][0].end_mark.index, _flow(section))
        else:
            changed = _key_by_key(text, pairs[0][1], {**defaults, **section}, section)
        before, after = parse_yaml(text, strict=True), parse_yaml(changed, strict=True)
        full = {**defaults, **after.pop(name)}
        before.pop(name, None)
        if before != after or full != {**defaults, **section}:
            raise ValueError(name)  # noqa: TRY301
    except (yaml.YAMLError, ValueError, AttributeError, TypeError, LookupError) as error:
        raise ConfigError(
            f"the configuration is written so that {name} cannot be changed by itself",
            remedy=f"put this line there with an editor: {line}",
        ) from error
    return changed


def note_section(text: str, name: str, note: str) -> str:
    """Return the text with a note at the end of the comment of a section on one line.

    It takes the place of an earlier note; "" takes that away. A section with a line per key stays.
    """
    whole: Any = yaml.compose(text, yaml.SafeLoader)
    (node,) = (v for k, v in whole.value if k.value == name)
    end = node.end_mark.index
    rest = re.match(r"[ \t]*(#.*)?$", text[end:].replace("\r", "\n"), re.MULTILINE)
    if not node.flow_style or rest is None:
        return text
    kept = re.sub(r"(?:; |# *)(?:neither suits, |not )?tried on .*", "", rest[0]).rstrip()
    added = f"{'; ' if '#' in kept else '  # '}{note}" if note else ""
    return text[:end] + kept + added + text[end + len(rest[0]) :]


def _in_one_line(text: str, node: Any, key_end: int, value: str) -> str:
    start, end = node.start_mark.index, node.end_mark.index
    if start < key_end or "\n" in text[start:end]:
        raise ValueError("an alias, or several lines")
    return text[:start] + value + text[end:]


def _key_by_key(text: str, node: Any, wanted: dict[str, Any], section: Mapping[str, Any]) -> str:
    there = {key.value for key, _ in node.value}
    added = {key: value for key, value in section.items() if key not in there}
    ending = "\r\n" if "\r\n" in text else "\n"
    for key, value in reversed(node.value):
        first, start, end = key.start_mark.index, value.start_mark.index, value.end_mark.index
        if start < key.end_mark.index or "\n" in text[start:end]:
            raise ValueError("an alias, or several lines")
        if key.value not in wanted:
            text = f"{text[:first]}# {text[first:]}"
            continue
        if key.value == "method" and added:
            line_end = text.find("\n", end) + 1
            before, after = (text[:line_end], text[line_end:]) if line_end else (text + ending, "")
            indent = text[text.rfind("\n", 0, first) + 1 : first]
            lines = [f"{indent}{section_line(k, v)}{ending}" for k, v in added.items()]
            text = "".join([before, *lines, after])
        if parse_yaml(text[start:end]) != wanted[key.value]:
            text = text[:start] + _flow(wanted[key.value]) + text[end:]
    return text
