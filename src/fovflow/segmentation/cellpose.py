"""Segmentation by a Cellpose network (optional extra ``cellpose``)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from fovflow.config.methods import CellposeSegment
from fovflow.errors import ConfigError, FovflowError
from fovflow.segmentation.frames import Frame, FrameSegmenter, FrameStats
from fovflow.segmentation.masks import Labels, check_pixel_um, number_objects


class Network(Protocol):
    """What is used of a Cellpose model."""

    def eval(self, image: NDArray[Any], **options: Any) -> tuple[Any, ...]:
        """Return a tuple whose first entry is the (Y, X) array of ids."""
        ...


class CellposeSegmenter(FrameSegmenter):
    """Cells as a Cellpose network finds them, limited in size and numbered in raster order.

    `pixel_um`: edge length of a pixel (µm). `network`: a loaded model, used instead of the
    settings' `model`.
    """

    def __init__(
        self, settings: CellposeSegment, pixel_um: float | None, network: Network | None = None
    ):
        px = check_pixel_um(pixel_um, "cellpose")
        self._network = network or load_network(
            settings.model, settings.use_gpu, settings.allow_download
        )
        diameter, most = settings.diameter_um, settings.max_area_um2
        self._options: dict[str, Any] = {
            "diameter": None if diameter is None else diameter / px,
            "flow_threshold": settings.flow_threshold,
            "cellprob_threshold": settings.cellprob_threshold,
        }
        self._least = settings.min_area_um2 / px**2
        self._most = np.inf if most is None else most / px**2

    def _segment(self, frame: Frame) -> tuple[Labels, FrameStats]:
        found = np.asarray(self._network.eval(frame.image, **self._options)[0])
        if found.shape != frame.image.shape:
            raise FovflowError(
                "the network's labels do not fit the frame",
                found=f"shape {found.shape} for a frame of {frame.image.shape}",
                remedy="use a model for single-channel two-dimensional images",
            )
        ids = found.astype(np.int64)
        sizes = np.bincount(ids.ravel())
        return number_objects(ids, (sizes >= self._least) & (sizes <= self._most)), FrameStats()


def load_network(model: str, use_gpu: bool, allow_download: bool) -> Network:
    """Load a Cellpose model from this machine, or download it where that is allowed.

    Raises ConfigError if the package is not installed, or if the weights are not here and may not
    be downloaded.
    """
    weights = find_weights(model)
    if weights is None and not allow_download:
        raise ConfigError(
            f"segment: cellpose: the weights of the model {model!r} are not on this machine",
            found=f"no file {model} and none of that name in {models_folder()}",
            remedy="give the path of the weights as model, or set allow_download: true",
        )
    try:
        from cellpose.models import CellposeModel
    except ImportError as error:
        raise ConfigError(
            "segment: method cellpose needs the package cellpose",
            found=str(error),
            remedy='pip install "fovflow[cellpose]"',
        ) from error
    network: Network = CellposeModel(gpu=use_gpu, pretrained_model=str(weights or model))
    return network


def models_folder() -> Path:
    """Return the folder where Cellpose keeps its weights."""
    local = os.environ.get("CELLPOSE_LOCAL_MODELS_PATH")
    return Path(local) if local else Path.home() / ".cellpose" / "models"


def find_weights(model: str) -> Path | None:
    """Return the file of a model given by path or by name, or None where there is none."""
    for path in (Path(model), models_folder() / model, models_folder() / f"{model}torch_0"):
        if path.is_file():
            return path
    return None
