"""python training/train.py SECONDS OUT.pt [--fold K] [--widths ...]: train the network."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import torch
from torch.nn import functional as F

sys.path.insert(0, str(Path(__file__).parent))
from frames import planes, read_outlined
from network import Network

SIDE, BATCH = 256, 8


class Crops:
    """Random crops of frames: turned, scaled, blurred, noisy, darker."""

    def __init__(self, frames, seed):
        self.frames = frames
        self.rng = np.random.default_rng(seed)

    def one(self):
        rng = self.rng
        frame = self.frames[rng.integers(len(self.frames))]
        height, width = frame.shape[1:]
        scale = np.exp(rng.uniform(np.log(0.65), np.log(1.5)))
        angle = rng.uniform(0, 2 * np.pi)
        for _ in range(6):
            y, x = rng.uniform(0, height), rng.uniform(0, width)
            if frame[1, int(y), int(x)] or rng.random() < 0.25:
                break
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) / scale
        if rng.random() < 0.5:
            turn = turn @ np.diag([-1.0, 1.0])
        shear = rng.normal(0, 0.08, (2, 2))
        turn = turn @ (np.eye(2) + shear)
        move = np.zeros((2, 3))
        move[:, :2] = turn
        move[:, 2] = np.array([x, y]) - turn @ np.array([SIDE / 2, SIDE / 2])
        out = np.empty((6, SIDE, SIDE), np.float32)
        inverse = cv2.WARP_INVERSE_MAP
        for n in range(5):
            out[n] = cv2.warpAffine(
                frame[n], move, (SIDE, SIDE),
                flags=inverse | (cv2.INTER_NEAREST if n in (1, 2) else cv2.INTER_LINEAR),
                borderMode=cv2.BORDER_REFLECT if n == 0 else cv2.BORDER_CONSTANT,
            )
        out[5] = cv2.warpAffine(np.ones((height, width), np.float32), move, (SIDE, SIDE), flags=inverse | cv2.INTER_NEAREST)
        back = np.linalg.inv(turn)
        vx, vy = out[4].copy(), out[3].copy()
        out[4], out[3] = back[0, 0] * vx + back[0, 1] * vy, back[1, 0] * vx + back[1, 1] * vy
        out[3:5] /= np.linalg.norm(out[3:5], axis=0) + 1e-6
        image = out[0]
        if rng.random() < 0.3:
            image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.4, 1.2))
        image = image * np.exp(rng.uniform(-0.4, 0.4)) + rng.normal(0, rng.uniform(0, 0.1), image.shape)
        image += rng.uniform(-0.1, 0.1)
        if rng.random() < 0.3:
            bumps = cv2.resize(rng.normal(0, 0.2, (4, 4)).astype(np.float32), (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
            image = image + bumps
        out[0] = np.clip(image, -3, 3)
        return out

    def batch(self):
        return torch.from_numpy(np.stack([self.one() for _ in range(BATCH)]))


def loss_of(said, wanted):
    cell, contact, flow, known = wanted[:, 1:2], wanted[:, 2:3], wanted[:, 3:5], wanted[:, 5:6]
    weight = known * (1 + 2 * contact)
    entropy = (F.binary_cross_entropy_with_logits(said[:, :1], cell, reduction="none") * weight).mean()
    likely = torch.sigmoid(said[:, :1]) * known
    dice = 1 - (2 * (likely * cell).sum() + 1) / ((likely + cell * known).sum() + 1)
    touch = (F.binary_cross_entropy_with_logits(said[:, 1:2], contact, reduction="none", pos_weight=torch.tensor(3.0)) * known).mean()
    turn = ((said[:, 2:] - 5 * flow).square() * known * (cell + 0.05)).mean() * 0.5
    return entropy + 0.3 * dice + 0.3 * touch + 0.5 * turn


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("seconds", type=float)
    parser.add_argument("out")
    parser.add_argument("--data", type=Path, default=Path(__file__).parents[2] / "shared/data/t98g_manual")
    parser.add_argument("--fold", type=int, default=-1)
    parser.add_argument("--widths", type=int, nargs=4, default=(16, 32, 64, 96))
    parser.add_argument("--steps", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    torch.manual_seed(args.seed)
    outlined = read_outlined(args.data, 0.8708)
    frames = [planes(f) for n, f in enumerate(outlined) if n % 5 != args.fold]
    crops = Crops(frames, args.seed)
    net = Network(tuple(args.widths)).to(memory_format=torch.channels_last)
    print(sum(p.numel() for p in net.parameters()), len(frames), flush=True)
    fit = torch.optim.AdamW(net.parameters(), 1e-3, weight_decay=1e-3)
    mean = {k: v.clone() for k, v in net.state_dict().items()}
    begun, step, seen = time.process_time(), 0, []
    while True:
        done = step / args.steps if args.steps else (time.process_time() - begun) / args.seconds
        if done >= 1:
            break
        for group in fit.param_groups:
            group["lr"] = 2e-3 * min(1, (step + 1) / 100) * 0.5 * (1 + np.cos(np.pi * done)) + 1e-6
        wanted = crops.batch()
        with torch.autocast("cpu", torch.bfloat16):
            said = net(wanted[:, :1].contiguous(memory_format=torch.channels_last))
        loss = loss_of(said.float(), wanted)
        fit.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 5.0)
        fit.step()
        step += 1
        keep = min(0.997, step / (step + 20))
        for k, v in net.state_dict().items():
            if v.dtype.is_floating_point:
                mean[k].mul_(keep).add_(v, alpha=1 - keep)
            else:
                mean[k] = v.clone()
        seen.append(loss.item())
        if step % 100 == 0:
            print(step, round(time.process_time() - begun), round(float(np.mean(seen)), 4), flush=True)
            seen = []
            torch.save({"widths": tuple(args.widths), "weights": mean}, args.out)
    torch.save({"widths": tuple(args.widths), "weights": mean}, args.out)
    print("done", step)


main()
