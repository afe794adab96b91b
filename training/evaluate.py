"""python training/evaluate.py WEIGHTS.pt --fold K: SEG and F1 on frames that were not trained on."""
from __future__ import annotations
import argparse, sys, time
from pathlib import Path
import cv2, numpy as np, torch
sys.path.insert(0, str(Path(__file__).parent))
from frames import *
from instances import instances
from network import Network

def scores(found, truth):
    """SEG of each true cell; matches at IoU 0.5."""
    n, m = found.max() + 1, truth.max() + 1
    joint = np.bincount((truth.astype(np.int64) * n + found).ravel(), minlength=n * m).reshape(m, n)
    a, b = joint.sum(1), joint.sum(0)
    iou = joint[1:, 1:] / np.maximum(a[1:, None] + b[None, 1:] - joint[1:, 1:], 1)
    best = np.where(joint[1:, 1:] * 2 > a[1:, None], iou, 0).max(1, initial=0)
    real = a[1:] > 0
    hits = (iou > 0.5).sum()
    return best[real], hits, (b[1:] > 0).sum(), real.sum()

def predict(net, frame, flips=False):
    image, _ = rescale(frame)
    x = normalise(image); H, W = x.shape
    p = np.pad(x, ((0, -H % 16), (0, -W % 16)), mode="reflect")
    t = torch.from_numpy(p)[None, None]
    with torch.no_grad():
        y = net(t)[0].numpy()
    return y[:, :H, :W]

def at_native(labels, said, frame, level=0.0):
    H, W = frame.image.shape
    return cv2.resize(labels.astype(np.float32), (W, H), interpolation=cv2.INTER_NEAREST).astype(np.int64)

if __name__ == "__main__":
    ap = argparse.ArgumentParser(); ap.add_argument("weights"); ap.add_argument("--fold", type=int, default=0)
    ap.add_argument("--data", type=Path, default=Path(__file__).parents[2] / "shared/data/t98g_manual")
    a = ap.parse_args(); torch.set_num_threads(1); cv2.setNumThreads(1)
    z = torch.load(a.weights); net = Network(z["widths"]); net.load_state_dict(z["weights"]); net.eval()
    fs = [f for n, f in enumerate(read_outlined(a.data, 0.8708)) if n % 5 == a.fold]
    said = [predict(net, f) for f in fs]
    for kw in (dict(), dict(level=-0.5), dict(level=0.5), dict(blur=1.0), dict(blur=2.2), dict(reach=8), dict(reach=8, blur=2.2), dict(steps=6), dict(clip=0.7), dict(reach=3), dict(min_area=100)):
        S, hit, fo, tr = [], 0, 0, 0; t = time.process_time()
        for f, y in zip(fs, said):
            s, h, n, m = scores(at_native(instances(y, **kw), y, f), f.labels); S += list(s); hit += h; fo += n; tr += m
        print(kw, "SEG %.3f F1 %.3f found %d true %d  %.3f s" % (np.mean(S), 2 * hit / (fo + tr), fo, tr, (time.process_time() - t) / len(fs)))
