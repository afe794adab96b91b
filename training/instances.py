"""From what the network says of each pixel to cells."""
from __future__ import annotations
import cv2
import numpy as np

def follow(flow, cell, steps=7):
    """End of each pixel's way along the flow (2, Y, X), found by doubling the step."""
    H, W = cell.shape
    gy, gx = np.mgrid[:H, :W].astype(np.float32)
    dy, dx = (flow * cell).astype(np.float32)
    for _ in range(steps):
        my, mx = gy + dy, gx + dx
        ny = cv2.remap(dy, mx, my, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        nx = cv2.remap(dx, mx, my, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        dy, dx = dy + ny, dx + nx
    return np.clip(gy + dy, 0, H - 1), np.clip(gx + dx, 0, W - 1)

def instances(said, level=0.0, blur=1.5, least_peak=1.2, reach=5, min_area=50, steps=7, clip=1.0):
    """Labels (Y, X) from logits and flow (4, Y, X)."""
    cell = said[0] > level
    H, W = cell.shape
    norm = np.maximum(np.hypot(said[2], said[3]) / 5, 1e-6)
    flow = said[2:4] / 5 * np.minimum(1, clip / norm)
    ey, ex = follow(flow, cell, steps)
    ys, xs = np.nonzero(cell)
    iy, ix = np.round(ey[ys, xs]).astype(int), np.round(ex[ys, xs]).astype(int)
    heaps = np.zeros((H, W), np.float32)
    np.add.at(heaps, (iy, ix), 1)
    smooth = cv2.GaussianBlur(heaps, (0, 0), blur)
    peaks = (smooth >= cv2.dilate(smooth, np.ones((2 * reach + 1,) * 2, np.uint8))) & (smooth > least_peak)
    # pixels whose way ends near a peak belong to it: basins of the smoothed heaps
    n, seeds = cv2.connectedComponents(cv2.dilate(peaks.astype(np.uint8), np.ones((3, 3), np.uint8)))
    from skimage.segmentation import watershed
    basins = watershed(-smooth, seeds, mask=smooth > 0.05)
    out = np.zeros((H, W), np.int32)
    out[ys, xs] = basins[iy, ix]
    sizes = np.bincount(out.ravel(), minlength=n + 1)
    keep = sizes >= min_area
    keep[0] = False
    return np.where(keep[out], out, 0)
