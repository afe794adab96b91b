"""The size of tiles, in pixels or in µm."""

from __future__ import annotations

from fovflow.background.preparation import to_pixels
from fovflow.errors import ConfigError

SMALLEST_TILE_PX = 8


def tile_pixels(tile_px: int, tile_um: float | None, pixel_um: float | None) -> int:
    """Return the tile size in pixels; `tile_um` goes before `tile_px`.

    Raises
    ------
    ConfigError
        If the tile is smaller than 8 px, or in µm without a pixel size.
    """
    name, size = "tile_px", int(tile_px)
    if tile_um is not None:
        name, size = "tile_um", to_pixels(tile_um, pixel_um, "tile_um")
    if size < SMALLEST_TILE_PX:
        raise ConfigError(
            f"correct.{name} gives a tile that is too small",
            found=f"{size} px",
            remedy=f"choose at least {SMALLEST_TILE_PX} px; 256 px is usual",
        )
    return size
