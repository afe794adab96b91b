"""The documents of the configuration, made from its model: template, key reference, schema.

``python -m fovflow.config.documents FOLDER`` writes ``config.yaml``, ``README.md`` and
``config.schema.json``.
"""

from __future__ import annotations

import json
import sys
import textwrap
import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from fovflow.config.model import Config, DatasetConfig
from fovflow.config.section import fields_of
from fovflow.stages import STAGES

_WIDTH = 96
_OF_STEPS = [name for stage in STAGES.values() if stage.per_fov for name in stage.settings]
_SECTIONS = (*dict.fromkeys(_OF_STEPS), "run")
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
    for name, field in Config.model_fields.items():
        key = field.alias or name
        parts.append(_comment(field.description or "", 0))
        if key == "datasets":
            parts.append(_EXAMPLE)
        elif fields_of(type(field.default)) and key in (*_SECTIONS, "channels"):
            parts.append(f"{key}:")
            parts += [_entry(k, f, 2) for k, f in _fields(type(field.default), field.default)]
            others = [m for m in _methods(field.annotation) if m != _method_of(field.default)]
            if others:
                parts.append(_comment(f"Other methods: {', '.join(others)}.", 2))
            parts.append("")
        else:
            value = "all" if key == "frames" else field.default
            parts.append(f"{key}: {_flow(value)}\n")
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
        *_table(_fields(Config, None)),
        "",
        "## `datasets`",
        "",
        "A mapping of names to what follows. A name becomes a folder in the output folder.",
        "",
        *_table(_fields(DatasetConfig, None)),
        "",
        "Instead of a mapping, the path of a tab-separated table with a header line: columns "
        "`dataset`, `path` and, where needed, `pattern`, `pixel_um`, `interval_s`, `fovs`, "
        "`frames`, `pc`, `fl` (comma-separated). See `datasets.tsv`.",
        "",
    ]
    for name, field in Config.model_fields.items():
        key = field.alias or name
        models = [m for m in _models(field.annotation) if not _is_scalar(key)]
        if key == "datasets" or not models:
            continue
        lines += [f"## `{key}`", "", field.description or "", ""]
        for model in models:
            method = fields_of(model).get("method")
            if method is not None and isinstance(method.default, str):
                title = f"`method: {method.default}`"
                default = isinstance(field.default, model)
                lines += [f"### {title}{' (default)' if default else ''}", ""]
            elif method is not None:
                lines += ["### A plug-in's method", ""]
            lines += [*_docstring(model), *_table(_fields(model, None)), ""]
            for part, inner in fields_of(model).items():
                for nested in _models(inner.annotation):
                    lines += [f"### `{key}.{part}`", "", *_docstring(nested)]
                    lines += [*_table(_fields(nested, None)), ""]
    return "\n".join(lines).rstrip() + "\n"


def config_schema() -> dict[str, Any]:
    """Return the JSON schema of ``config.yaml``, for editors and for checks."""
    schema = Config.model_json_schema(by_alias=True)
    for section in schema["properties"].values():
        _separate_plugins(section.get("oneOf", []), schema["$defs"])
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **schema,
        "title": "fovflow configuration",
    }


def _separate_plugins(branches: list[dict[str, Any]], definitions: dict[str, Any]) -> None:
    """Say that a plug-in's method is none of the built-in ones, so that one branch fits at most."""
    methods = [
        definitions[branch["$ref"].rpartition("/")[2]]["properties"]["method"]
        for branch in branches
        if "$ref" in branch
    ]
    builtin = [method["const"] for method in methods if "const" in method]
    for method in methods:
        if "const" not in method:
            method["not"] = {"enum": builtin}


def schema() -> str:
    """Return the JSON schema as text."""
    return json.dumps(config_schema(), indent=2, ensure_ascii=False) + "\n"


DOCUMENTS = {"config.yaml": template, "README.md": reference, "config.schema.json": schema}


def _is_scalar(key: str) -> bool:
    return key in ("frames",)


def _docstring(model: type) -> list[str]:
    first = (model.__doc__ or "").strip().split("\n\n")[0]
    return [" ".join(first.split()), ""] if first else []


def _fields(model: type, values: Any) -> Iterator[tuple[str, tuple[FieldInfo, Any]]]:
    first = sorted(fields_of(model).items(), key=lambda item: item[0] != "method")
    for name, field in first:
        value = (
            field.get_default(call_default_factory=True)
            if values is None
            else getattr(values, name)
        )
        yield field.alias or name, (field, value)


def _entry(key: str, spec: tuple[FieldInfo, Any], indent: int) -> str:
    field, value = spec
    text = _comment(field.description or "", indent)
    return f"{text}\n{' ' * indent}{key}: {_flow(value)}"


def _comment(text: str, indent: int) -> str:
    margin = " " * indent
    lines = textwrap.wrap(" ".join(text.split()), _WIDTH - indent - 2)
    return "\n".join(f"{margin}# {line}" for line in lines)


def _flow(value: Any) -> str:
    """Return a value as YAML on one line."""
    if isinstance(value, BaseModel):
        value = value.model_dump(mode="json", by_alias=True)
    plain = json.loads(json.dumps(value, default=list))
    text = yaml.safe_dump(plain, default_flow_style=True, width=10_000, allow_unicode=True)
    return text.removesuffix("\n").removesuffix("\n...").strip()


def _table(fields: Iterator[tuple[str, tuple[FieldInfo, Any]]]) -> list[str]:
    rows = ["| key | default | meaning |", "|---|---|---|"]
    for key, (field, value) in fields:
        if field.is_required():
            shown = "must be given"
        elif fields_of(type(value)):
            shown = "see below" if key != "frames" else "`all`"
        else:
            shown = f"`{_flow(value)}`"
        meaning = " ".join((field.description or "").split()).replace("|", "\\|")
        rows.append(f"| `{key}` | {shown} | {meaning} |")
    return rows


def _models(annotation: Any) -> list[type]:
    """Return all models inside a type annotation."""
    if fields_of(annotation):
        return [annotation]
    if typing.get_origin(annotation) is types.GenericAlias:
        return []
    found = [model for part in typing.get_args(annotation) for model in _models(part)]
    return list(dict.fromkeys(found))


def _methods(annotation: Any) -> list[str]:
    names = [_method_of(model) for model in _models(annotation)]
    return [name for name in names if name]


def _method_of(model: Any) -> str:
    method = fields_of(model if isinstance(model, type) else type(model)).get("method")
    return method.default if method is not None and isinstance(method.default, str) else ""


def main(folder: str) -> None:
    """Write all documents into `folder`."""
    for name, make in DOCUMENTS.items():
        (Path(folder) / name).write_text(make(), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
