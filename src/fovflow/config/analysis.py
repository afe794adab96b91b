"""Samples, the tables that are merged from them, and the fits."""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, field_validator, model_validator

from fovflow.config.section import Fovs, Number, Section, Text, as_list
from fovflow.layout import LOGS

_NAME = re.compile(r"\w([\w .,+-]*[\w+-])?")
_WITH_COMMA = re.compile(r"\s*[-+]?\d+,\d+\s*")
_COLUMN = re.compile(r"[^\W\d]\w*")
OWN_COLUMNS = ("dataset", "position", "sample", "condition", "replicate",
               "fov", "cell", "frame", "time", "time_h", "good", "flags")  # fmt: skip
"""Columns that the merged table has in any case; no column of a sample may be called so."""


def _as_text(value: Any) -> Any:
    """Accept a number where text is meant."""
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


Word = Annotated[str, BeforeValidator(_as_text, json_schema_input_type=str | float)]
Names = Annotated[
    tuple[Text, ...], BeforeValidator(as_list, json_schema_input_type=str | tuple[Text, ...])
]


class SampleConfig(Section):
    """FOVs that are analysed together; any further keys become columns of the merged table."""

    name: Word = Field(description="Name of the sample; in a table the column is called sample.")
    dataset: Text | None = Field(
        None, description="Name of the dataset; may be left out where there is only one."
    )
    fovs: Fovs | None = Field(None, description='Its FOVs, such as "0-5, 7", or all.')
    wells: Names = Field((), description='Its wells, such as "B3, B4", by the positions\' names.')
    positions: Names = Field((), description="Its positions, by name.")
    condition: Word = Field("", description="What was done to it; a number for a dose.")
    replicate: Word = Field("", description="Unit of repetition: day, plate, or well.")
    columns: dict[str, Word] = Field(
        default={}, description="Further columns of the merged table, by name."
    )

    @model_validator(mode="before")
    @classmethod
    def _take_columns(cls, value: Any) -> Any:
        """Collect the further columns; one that is nearly a key is most likely meant to be it."""
        if not isinstance(value, Mapping):
            return value
        known, further = {}, dict(value.get("columns") or {})
        for key, content in value.items():
            if key in cls.model_fields:
                known[key] = content
            elif near := difflib.get_close_matches(str(key), cls.model_fields, 1, 0.85):
                raise ValueError(f"{key} is no key of a sample; did you mean {near[0]}?")
            else:
                further[key] = content
        return {**known, "columns": further}

    @field_validator("name")
    @classmethod
    def _check_name(cls, value: str) -> str:
        if not _NAME.fullmatch(value) or ".." in value or value == LOGS:
            raise ValueError("letters, digits, spaces and _ - + . , only; a name becomes a file's")
        return value

    @field_validator("condition", "columns")
    @classmethod
    def _check_numbers(cls, value: str | dict[str, str]) -> str | dict[str, str]:
        words = [value] if isinstance(value, str) else value.values()
        if wrong := [word for word in words if _WITH_COMMA.fullmatch(word)]:
            raise ValueError(f"a number with a decimal point, not a comma ({', '.join(wrong)})")
        return value

    @field_validator("columns")
    @classmethod
    def _check_columns(cls, value: dict[str, str]) -> dict[str, str]:
        wrong = [name for name in value if not _COLUMN.fullmatch(name) or name in OWN_COLUMNS]
        if wrong:
            raise ValueError(
                "columns of letters, digits and _ whose names the merged table does not have "
                f"already (not {', '.join(wrong)})"
            )
        return value

    @model_validator(mode="after")
    def _check_choice(self) -> Self:
        given = [key for key in ("fovs", "wells", "positions") if getattr(self, key)]
        if len(given) != 1:
            found = " and ".join(given) or "none of them"
            raise ValueError(f"one of fovs, wells and positions (sample {self.name}: {found})")
        return self


def two_spellings(texts: Iterable[str]) -> str:
    """Return two texts that are one number, for programs that read numbers, in words; else ''.

    Examples
    --------
    >>> two_spellings(["1", "2", "1.0"]), two_spellings(["day1", "1", "2"])
    ('1 and 1.0', '')
    """
    known: dict[float, str] = {}
    for text in texts:
        with suppress(ValueError):
            if (first := known.setdefault(float(text), text)) != text:
                return f"{first} and {text}"
    return ""


def _check_samples(value: tuple[SampleConfig, ...]) -> tuple[SampleConfig, ...]:
    counts = Counter(sample.name.casefold() for sample in value)
    twice = [sample.name for sample in value if counts[sample.name.casefold()] > 1]
    if twice:
        raise ValueError(f"each sample once, whatever its case ({', '.join(twice)} stand twice)")
    for key in ("condition", "replicate"):
        if found := two_spellings(getattr(sample, key) for sample in value):
            raise ValueError(f"one spelling of each number (a {key} is {found})")
    return value


Samples = Annotated[
    tuple[SampleConfig, ...],
    BeforeValidator(
        lambda value: () if value is None else value,
        json_schema_input_type=str | tuple[SampleConfig, ...] | None,
    ),
    AfterValidator(_check_samples),
]


class MergeConfig(Section):
    """Tables of the samples: which features have a table of their own."""

    features: Names | None = Field(
        None,
        description="Features that are written for each sample as analysis/{sample}_{feature}_ch_"
        "{channel}.csv, such as [intensity_total, area_um2]; null is intensity_total of each "
        "fluorescence channel, and area_um2 (area where the size of a pixel is not known).",
    )


class FitConfig(Section):
    """A kinetic model, fitted to each cell of each sample."""

    model: str = Field(
        "trivial",
        pattern=r"^\w+$",
        description="Name of the model; fovflow fit --models lists all.",
    )
    features: Names = Field(
        ("intensity_total",), description="Merged features that are fitted, in each channel."
    )
    start: dict[str, Number] = Field(
        default={}, description="Start values by parameter, in place of the model's."
    )
    bounds: dict[str, tuple[Number, Number]] = Field(
        default={}, description="Bounds [low, high] by parameter, in place of the model's."
    )
    fixed: dict[str, Number] = Field(
        default={}, description="Values of parameters that are not fitted."
    )
    shared: Names = Field(
        (), description="Parameters that have one value in all cells of a sample."
    )
    settings: Literal["default", "classic"] = Field(
        "default", description="classic reproduces an older program's fits."
    )
    population: bool = Field(
        False, description="Whether cells are shrunk towards their sample's distribution."
    )

    @field_validator("bounds")
    @classmethod
    def _check_bounds(cls, value: dict[str, tuple[float, float]]) -> dict[str, tuple[float, float]]:
        wrong = [name for name, (low, high) in value.items() if low >= high]
        if wrong:
            raise ValueError(f"bounds [low, high] with low below high ({', '.join(wrong)})")
        return value


class StatisticsConfig(Section):
    """How the conditions of the samples are compared, replicate by replicate."""

    reference: Word | None = Field(
        None,
        description="Condition that all others are compared with; null compares each with each.",
    )
    paired: bool | None = Field(
        None,
        description="Whether replicates of one name belong together, as conditions of one day do; "
        "null: where two conditions have at least three names in common.",
    )
    correction: Literal["holm", "bh", "none"] = Field(
        "holm", description="Correction for many comparisons: holm, bh (Benjamini-Hochberg), none."
    )
    draws: int = Field(2000, ge=100, le=100_000, description="Draws of the bootstrap.")
    seed: int = Field(0, ge=0, description="Seed of the bootstrap.")
