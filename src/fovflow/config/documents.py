"""The documents of the configuration, made from its model: template, key reference, schema.

``python -m fovflow.config.documents FOLDER`` writes ``config.yaml``, ``README.md`` and
``config.schema.json``.
"""

from __future__ import annotations

import json
import sys
import textwrap
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from fovflow.config.model import Config, DatasetConfig
from fovflow.config.section import PLUGINS, fields_of, method_of
from fovflow.stages import STAGES

_WIDTH = 96
_OF_STEPS = [name for stage in STAGES.values() if stage.per_fov for name in stage.settings]
_SECTIONS = (*dict.fromkeys(_OF_STEPS), "merge", "run")
_EXAMPLE = """\
datasets:
  plate1: {path: data/plate1.nd2}
  # A series of files needs what the files do not say:
  # t98g: {path: "data/t98g/*.tif", pixel_um: 0.87, interval_s: 600}
  # A dataset may have channels, fovs and frames of its own:
  # plate2: {path: data/plate2.ome.tif, channels: {pc: 0, fl: [GFP]}, fovs: "0-5, 7"}
  # Many datasets go into a table; then write: datasets: config/datasets.tsv
"""


def template() -> str:
    """Return ``config.yaml`` with every key at its default, each with a comment."""
    parts = [
        "# Configuration of fovflow. Every key but `datasets` may be left out; what stands here are"
        " the\n# defaults. Paths are relative to the folder in which snakemake is started. Unknown "
        "keys are\n# errors. config/README.md explains every key, also those of other methods.\n"
    ]
    for key, field, default in _fields(Config):
        parts.append(_comment(field))
        if key == "datasets":
            parts.append(_EXAMPLE)
        elif fields_of(type(default)) and key in (*_SECTIONS, "channels"):
            parts.append(f"{key}:")
            for inner, spec, value in _fields(type(default)):
                parts += [_comment(spec, "  "), f"  {inner}: {_flow(value)}"]
            methods = [method_of(model) for model in _models(field.annotation)]
            others = [name for name in methods if name not in ("", method_of(type(default)))]
            if others:
                parts.append(f"  # Other methods: {', '.join(others)}.")
            parts.append("")
        else:
            parts.append(f"{key}: {_flow('all' if key == 'frames' else default)}\n")
    return "\n".join(parts).rstrip() + "\n"


def reference() -> str:
    """Return ``config/README.md``: every key with meaning, type and default."""
    lines = [
        "# Configuration",
        "",
        "`config/config.yaml`, or any file given with `--configfile` (which replaces this one). "
        "Every key but `datasets` has a default; unknown keys are errors, and all errors of a "
        "configuration are told at once. `config.schema.json` is the same as a JSON schema, for "
        "editors that check while you type. This page is made from the model in "
        "`src/fovflow/config/` by `python -m fovflow.config.documents config`.",
        "",
        "Values may be given on the command line: `--config outdir=elsewhere fovs=0-3`, whole "
        "sections as `--config 'segment={method: classic}'`.",
        "",
        "## Top level",
        "",
        *_table(Config),
        "## `datasets`",
        "",
        "A mapping of names to what follows. A name becomes a folder in the output folder: "
        "letters, digits, spaces and `_ - + .`, at most 100 bytes; names that differ in case only "
        "are one.",
        "",
        *_table(DatasetConfig),
        "Instead of a mapping, the path of a tab-separated table with a header line: columns "
        "`dataset`, `path` and, where needed, `pattern`, `pixel_um`, `interval_s`, `fovs`, "
        "`frames`, `pc`, `fl` (comma-separated). See `datasets.tsv`.",
        "",
    ]
    for key, field, default in _fields(Config):
        models = _models(field.annotation)
        if key in ("datasets", "frames") or not models:
            continue
        lines += [f"## `{key}`", "", field.description or "", ""]
        for model in models:
            if method := method_of(model):
                chosen = " (default)" if isinstance(default, model) else ""
                lines += [f"### `method: {method}`{chosen}", ""]
            elif "method" in fields_of(model):
                lines += ["### A plug-in's method", ""]
            lines += [*_docstring(model), *_table(model)]
            for part, inner, _ in _fields(model):
                for nested in _models(inner.annotation):
                    lines += [f"### `{key}.{part}`", "", *_docstring(nested), *_table(nested)]
    return "\n".join(lines).rstrip() + "\n"


def config_schema() -> dict[str, Any]:
    """Return the JSON schema of ``config.yaml``, for editors and for checks."""
    schema = Config.model_json_schema(by_alias=True)
    for plugin, builtin in PLUGINS.items():  # so that one branch fits at most
        schema["$defs"][plugin.__name__]["properties"]["method"]["not"] = {"enum": [*builtin]}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **schema,
        "title": "fovflow configuration",
    }


def schema() -> str:
    """Return the JSON schema as text."""
    return json.dumps(config_schema(), indent=2, ensure_ascii=False) + "\n"


DOCUMENTS = {"config.yaml": template, "README.md": reference, "config.schema.json": schema}


def _docstring(model: type) -> list[str]:
    first = (model.__doc__ or "").strip().split("\n\n")[0]
    return [" ".join(first.split()), ""] if first else []


def _fields(model: type) -> Iterator[tuple[str, FieldInfo, Any]]:
    """Yield key, field and default of each field; the key ``method`` comes first."""
    for name, field in sorted(fields_of(model).items(), key=lambda item: item[0] != "method"):
        yield field.alias or name, field, field.get_default(call_default_factory=True)


def _comment(field: FieldInfo, margin: str = "") -> str:
    text = " ".join((field.description or "").split())
    return textwrap.fill(
        text, _WIDTH, initial_indent=f"{margin}# ", subsequent_indent=f"{margin}# "
    )


def _flow(value: Any) -> str:
    """Return a value as YAML on one line."""
    if isinstance(value, BaseModel):
        value = value.model_dump(mode="json", by_alias=True)
    plain = json.loads(json.dumps(value, default=list))
    text = yaml.safe_dump(plain, default_flow_style=True, width=10_000, allow_unicode=True)
    return text.removesuffix("\n").removesuffix("\n...").strip()


def _table(model: type) -> list[str]:
    rows = ["| key | default | meaning |", "|---|---|---|"]
    for key, field, value in _fields(model):
        if field.is_required():
            shown = "must be given"
        elif fields_of(type(value)):
            shown = "see below" if key != "frames" else "`all`"
        else:
            shown = f"`{_flow(value)}`"
        meaning = " ".join((field.description or "").split()).replace("|", "\\|")
        rows.append(f"| `{key}` | {shown} | {meaning} |")
    return [*rows, ""]


def _models(annotation: Any) -> list[type]:
    """Return all models inside a type annotation."""
    if fields_of(annotation):
        return [annotation]
    found = [model for part in typing.get_args(annotation) for model in _models(part)]
    return list(dict.fromkeys(found))


if __name__ == "__main__":
    for name, make in DOCUMENTS.items():
        (Path(sys.argv[1]) / name).write_text(make(), encoding="utf-8")
