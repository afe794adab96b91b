"""The JSON schema of the configuration, made from the model."""

from __future__ import annotations

import json
from typing import Any

from fovflow.config.model import Config


def config_schema() -> dict[str, Any]:
    """Return the JSON schema of ``config.yaml``, for editors and for checks."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **Config.model_json_schema(by_alias=True),
        "title": "fovflow configuration",
    }


if __name__ == "__main__":
    print(json.dumps(config_schema(), indent=2, ensure_ascii=False))
