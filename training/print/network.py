"""The sign reader's network in PyTorch: how it is fitted, and its weights as the analysis reads them."""

import itertools
import sys

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from services.analysis.thermography.reading.signs import CLASSES

_BATCH = 64
_POOL = 12  # batches that are dealt by width together
_RATE = 4e-3
_NO_SIGN = 0
_UNSURE = -100  # a column about which nothing is asked
_CTC_WEIGHT = 0.5

Drawn = tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.float32]]


def network() -> nn.Sequential:
    """Return the network: (n, 1, 20, w) to (n, CLASSES, 1, w / 2); a pixel's column is half a pixel of the line."""
    layers: list[nn.Module] = []

    def convolve(inputs: int, outputs: int, size: tuple[int, int], pad: tuple[int, int], stride: int = 1) -> None:
        layer = nn.Conv2d(inputs, outputs, size, padding=pad, stride=stride, bias=False)
        layers.extend((layer, nn.BatchNorm2d(outputs), nn.ReLU()))

    convolve(1, 16, (5, 5), (2, 2), stride=2)
    convolve(16, 24, (3, 3), (1, 1))
    layers.append(nn.MaxPool2d((2, 1)))
    convolve(24, 32, (3, 3), (1, 1))
    convolve(32, 64, (5, 3), (0, 1))
    convolve(64, 64, (1, 5), (0, 2))
    layers.append(nn.Conv2d(64, CLASSES, (1, 1)))
    return nn.Sequential(*layers)


def fit(learnt: Drawn, unseen: Drawn, *, epochs: int, seed: int) -> dict[str, NDArray[np.float32]]:
    """Fit the network; after each epoch say how much of the unseen lines it reads. Return its weights."""
    torch.manual_seed(seed)
    torch.use_deterministic_algorithms(mode=True)
    reader = network()
    pictures, classes = torch.from_numpy(learnt[0]), torch.from_numpy(learnt[1])
    columns = torch.from_numpy(_columns(learnt))
    steps = epochs * (len(pictures) // _BATCH)
    descent = torch.optim.AdamW(reader.parameters(), lr=_RATE, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(descent, _RATE, total_steps=steps + 1, pct_start=0.15)
    widths = _widths(learnt[0])
    for epoch in range(epochs):
        reader.train()
        total = 0.0
        batches = _batches(widths)
        for few, width in batches:
            seen = reader(_varied(pictures[few, None, :, :width].float() / 200))[:, :, 0]
            loss = functional.cross_entropy(seen, columns[few, : width // 2], ignore_index=_UNSURE)
            loss = loss + _CTC_WEIGHT * _sequence_loss(seen, classes[few])
            descent.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(reader.parameters(), 2.0)
            descent.step()
            schedule.step()
            total += loss.item()
        share = _share_read(reader, unseen)
        sys.stdout.write(f"epoch {epoch + 1}: loss {total / len(batches):.3f}, unseen lines read whole {share:.3f}\n")
        sys.stdout.flush()
    return _weights(reader)


def _varied(lines: torch.Tensor) -> torch.Tensor:
    """Return lines of other strength, with noise and a pixel higher or lower, so that each is seen anew."""
    strength = 0.7 + 0.5 * torch.rand(len(lines), 1, 1, 1)
    noise = 0.06 * torch.rand(len(lines), 1, 1, 1) * torch.randn_like(lines)
    moved = torch.roll(lines, int(torch.randint(-1, 2, ())), 2)
    return (moved * strength + noise).clamp(0, 1.25)


def _widths(pictures: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Return the even width up to which there is anything on each picture."""
    filled = np.asarray((pictures > 0).any(1))
    last = pictures.shape[2] - filled[:, ::-1].argmax(1)
    return np.asarray(np.minimum((last + 9) // 2 * 2, pictures.shape[2]), np.int64)


def _batches(widths: NDArray[np.int64]) -> list[tuple[torch.Tensor, int]]:
    """Deal the lines into batches of about one width, in random order; also the width of each batch."""
    order = torch.randperm(len(widths)).numpy()
    batches = []
    for at in range(0, len(order) - _BATCH + 1, _BATCH * _POOL):
        pool = order[at : at + _BATCH * _POOL]
        pool = pool[np.argsort(widths[pool], kind="stable")]
        few = [pool[start : start + _BATCH] for start in range(0, len(pool) - _BATCH + 1, _BATCH)]
        batches += [(torch.from_numpy(part), int(widths[part].max())) for part in few]
    return [batches[at] for at in torch.randperm(len(batches)).tolist()]


def _sequence_loss(seen: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
    lengths = (classes > 0).sum(1)
    columns = torch.full((len(seen),), seen.shape[2])
    chances = seen.log_softmax(1).permute(2, 0, 1)
    return functional.ctc_loss(chances, classes, columns, lengths, zero_infinity=True)


def _columns(lines: Drawn) -> NDArray[np.int64]:
    """Say of each column which sign has its centre there. Beside a centre nothing is asked, except between twins."""
    pictures, classes, centres = lines
    wanted = np.zeros((len(pictures), pictures.shape[2] // 2), np.int64)
    for row, signs, places in zip(wanted, classes, centres, strict=True):
        at = [(int(sign), int(place / 2)) for sign, place in zip(signs, places, strict=True) if sign]
        at = [(sign, column) for sign, column in at if 0 <= column < len(row)]
        for _, column in at:
            row[max(column - 1, 0) : column + 2] = _UNSURE
        for (sign, column), (following, next_column) in itertools.pairwise(at):
            if sign == following and next_column - column >= 2:
                row[(column + next_column) // 2] = _NO_SIGN
        for sign, column in at:
            row[column] = sign
    return wanted


def _share_read(reader: nn.Sequential, lines: Drawn) -> float:
    reader.eval()
    right = 0
    with torch.no_grad():
        for at in range(0, len(lines[0]), 256):
            best = reader(torch.from_numpy(lines[0][at : at + 256, None]).float() / 200)[:, :, 0].argmax(1).numpy()
            for row, signs in zip(best, lines[1][at : at + 256], strict=True):
                kept = row[(row != np.roll(row, 1)) & (row != _NO_SIGN)]
                right += list(kept) == list(signs[signs > 0])
    return right / len(lines[0])


def _weights(reader: nn.Sequential) -> dict[str, NDArray[np.float32]]:
    """Return kernels as (height · width · inputs, outputs) and biases, each normalisation folded into its kernel."""
    weights: dict[str, NDArray[np.float32]] = {}
    layers = list(reader)
    number = 0
    for layer, following in zip(layers, [*layers[1:], nn.Identity()], strict=True):
        if not isinstance(layer, nn.Conv2d):
            continue
        kernel = layer.weight.detach()
        bias = torch.zeros(kernel.shape[0]) if layer.bias is None else layer.bias.detach()
        if (
            isinstance(following, nn.BatchNorm2d)
            and following.running_mean is not None
            and following.running_var is not None
        ):
            gain = following.weight.detach() / torch.sqrt(following.running_var + following.eps)
            kernel, bias = kernel * gain[:, None, None, None], following.bias.detach() - following.running_mean * gain
        flat = kernel.permute(2, 3, 1, 0).reshape(-1, kernel.shape[0])
        weights[f"kernel{number}"] = flat.numpy().astype(np.float32)
        weights[f"bias{number}"] = bias.numpy().astype(np.float32)
        number += 1
    return weights
