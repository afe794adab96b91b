"""Parquet: the traces of all FOVs as one table, and the links between rows as another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from fovflow.export.fov import Column, ExportedFov, Format, named


def _write(fovs: Sequence[ExportedFov], folder: Path) -> None:
    dataset = fovs[0].fov.dataset
    _write_table(folder / f"{dataset}_traces.parquet", fovs, _traces)
    _write_table(folder / f"{dataset}_links.parquet", fovs, _links)


def _traces(fov: ExportedFov) -> Any:
    rows = named(fov.rows.drop(columns="time_s"), fov.fov)
    rows.insert(0, "dataset", fov.fov.dataset)
    return rows


def _links(fov: ExportedFov) -> Any:
    """Return the links by cells and frames; those of a division have two cells."""
    links = fov.links.copy()
    for end in ("target", "source"):
        for key in ("frame", "cell"):
            links.insert(0, f"{end}_{key}", fov.rows[key].to_numpy()[links[end]])
    links.insert(0, "fov", fov.fov.index)
    links.insert(0, "dataset", fov.fov.dataset)
    return links.drop(columns=["source", "target"])


def _write_table(
    path: Path, fovs: Sequence[ExportedFov], table: Callable[[ExportedFov], Any]
) -> None:
    """Write a row group per FOV; units and descriptions stand with the columns of features."""
    import pyarrow as pa
    from pyarrow.parquet import ParquetWriter

    schemas: list[pa.Schema] = []
    features: dict[str, Column] = {}
    for fov in map(replace, fovs):  # whose tables go, one after the other
        if len(rows := table(fov)) or (not schemas and fov.fov is fovs[-1].fov):
            schemas.append(pa.Schema.from_pandas(rows, preserve_index=False).remove_metadata())
            features |= {each.name: each for each in fov.features()}
    schema = pa.unify_schemas(schemas, promote_options="permissive")  # FOVs may lack columns
    for each in features.values():
        where = schema.get_field_index(each.name)
        if where >= 0:
            about = {key: getattr(each, key) for key in ("unit", "description", "channel_name")}
            schema = schema.set(where, schema.field(where).with_metadata(about))
    facts = {
        "time_units": str(fovs[0].fov.metadata.get("time_units") or ""),
        "pixel_um": str(fovs[0].known_pixel_um or ""),
    }
    schema = schema.with_metadata(facts)
    with ParquetWriter(path, schema, compression="zstd") as writer:
        for fov in map(replace, fovs):
            rows = table(fov).reindex(columns=schema.names)
            writer.write_table(pa.Table.from_pandas(rows, schema, preserve_index=False))


FORMAT = Format(
    "Parquet tables of traces and links (pandas, polars, DuckDB, R)",
    _write,
    ("_traces.parquet", "_links.parquet"),
    needs=("traces",),
    wants=("tracks",),
    per_fov=False,
    package="pyarrow",
    extra="parquet",
)
