"""The JSON schema of the configuration, made from the model."""

from __future__ import annotations

import json
from typing import Any

from fovflow.config.model import Config


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


if __name__ == "__main__":
    print(json.dumps(config_schema(), indent=2, ensure_ascii=False))
