"""Training of the networks of `neural`.

Needs PyTorch, which is an extra: import this module where it is used.
"""

from __future__ import annotations

import math
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch.nn import functional

from tasks.tabular.neural_layers import CHUNK_ROWS
from tasks.tabular.neural_scores import layers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from tasks.tabular.neural import Neural
    from tasks.tabular.neural_scores import Coded, Weights

    Tensors = dict[str, torch.Tensor]

VISITS = 800_000
"""Rows trained on, over all epochs, where `epochs` is not given: 10 s or so on one thread."""

_EPOCHS = (20, 100)
"""Least and most epochs that `VISITS` comes to."""

_WARM_UP = 0.05
"""Share of training in which the learning rate rises."""

_BETAS = (0.9, 0.98)

_KEEP_EVERY = 2
_KEPT = 0.98
"""Share of the running mean of weights that a look at them, every other step, leaves."""

_LEAST = 1e-7
"""Probability below which a class is not made out to be less likely: bfloat16 rounds to zero."""


@dataclass(frozen=True, slots=True)
class _Rows:
    """Coded rows on PyTorch's side, and what to say of them."""

    plain: torch.Tensor
    pieces: torch.Tensor
    codes: torch.Tensor
    goal: torch.Tensor
    weight: torch.Tensor

    def take(self, rows: Any) -> _Rows:
        """Return some of the rows."""
        return _Rows(
            self.plain[rows],
            self.pieces[:, rows],
            self.codes[rows],
            self.goal[rows],
            self.weight[rows],
        )


class Trained(NamedTuple):
    """The weights that were best on the rows watched, and how they came to be."""

    weights: Weights
    loss: float
    epochs: int
    best_epoch: int


Given = tuple["Coded", "NDArray[Any]", "NDArray[np.float32]"]
"""Coded rows, what to say of them, and their weights."""


def train(
    weights: Weights,
    learned: Given,
    watched: Given,
    network: Neural,
    *,
    generator: np.random.Generator,
    stop_at: float | None,
) -> Trained:
    """Train weights on rows until others say stop, or until an instant of `time.monotonic`."""
    with _limited_threads(network.threads):
        training = _Training(weights, _to_torch(*learned), network, generator, stop_at)
        return training.run(_to_torch(*watched))


class _Training:
    """Trains weights by AdamW, on a clock if there is one.

    Layers are computed in bfloat16 where the processor does so in hardware, which is thrice as
    fast. What is validated and kept is a running mean of the weights.
    """

    def __init__(
        self,
        weights: Weights,
        rows: _Rows,
        network: Neural,
        generator: np.random.Generator,
        stop_at: float | None,
    ) -> None:
        self.rows, self.network, self.generator = rows, network, generator
        count = len(rows.goal)
        self.batch = min(count, network.batch_size or _batch(count))
        self.epoch_steps = max(1, count // self.batch)
        epochs = network.epochs or int(np.clip(VISITS / count, *_EPOCHS))
        self.step, self.steps = 0, epochs * self.epoch_steps
        self.begin, self.stop_at, self.reserve = time.monotonic(), stop_at, 0.0
        self.weights = {
            name: torch.from_numpy(value).requires_grad_() for name, value in weights.items()
        }
        self.mean = _copy(self.weights)
        self.optimiser = self._optimiser()
        self.drop = self._dropout()

    def run(self, watched: _Rows) -> Trained:
        """Train by epochs."""
        best, best_loss = _copy(self.mean), np.inf
        epoch = best_epoch = 0
        while not epoch or (self._done() < 1 and epoch - best_epoch < self.network.patience):
            order = torch.from_numpy(self.generator.permutation(len(self.rows.goal)))
            for start in range(0, self.epoch_steps * self.batch, self.batch):
                done = self._done()
                if done >= 1 and self.step:
                    break
                self._learn(order[start : start + self.batch], done)
            epoch += 1
            loss = self._validate(watched)
            if loss < best_loss:
                best, best_loss, best_epoch = _copy(self.mean), loss, epoch
        kept = {name: value.numpy().copy() for name, value in best.items()}
        return Trained(kept, best_loss, epoch, best_epoch)

    def _learn(self, chosen: torch.Tensor, done: float) -> None:
        """Take one step."""
        rise, fall = min(1.0, done / _WARM_UP + 1e-3), (1 + math.cos(math.pi * done)) / 2
        for group in self.optimiser.param_groups:
            group["lr"] = self.network.learning_rate * rise * fall
        self.optimiser.zero_grad(set_to_none=True)
        part = self.rows.take(chosen)
        losses = _losses(_forward(self.weights, part, self.drop), part.goal)
        (losses * part.weight).mean().backward()
        self.optimiser.step()
        self.step += 1
        if self.step % _KEEP_EVERY == 0:
            kept = min(_KEPT, self.step / (self.step + 20))
            with torch.no_grad():
                torch._foreach_lerp_(
                    list(self.mean.values()), list(self.weights.values()), 1 - kept
                )

    def _done(self) -> float:
        """Return the share of training behind: of steps, or of time if that is more."""
        share = self.step / self.steps
        if self.stop_at is None:
            return share
        left = self.stop_at - self.reserve - self.begin
        spent = time.monotonic() - self.begin
        return min(1.0, max(share, spent / left if left > spent else 1.0))

    def _optimiser(self) -> torch.optim.Optimizer:
        groups: dict[float, list[torch.Tensor]] = {self.network.weight_decay: [], 0.0: []}
        for name, value in self.weights.items():
            decayed = name == "out" or name.startswith("weight_")
            groups[self.network.weight_decay if decayed else 0.0].append(value)
        return torch.optim.AdamW(
            [{"params": each, "weight_decay": decay} for decay, each in groups.items()],
            betas=_BETAS,
            fused=True,
        )

    def _dropout(self) -> Callable[[Any], Any] | None:
        """Make a source of masks: parts of a pool, since to draw them takes longer than layers."""
        share = self.network.dropout
        if not share:
            return None
        size = max(1 << 20, 4 * self.network.members * self.batch * self.network.width)
        kept = torch.from_numpy(self.generator.random(size, dtype=np.float32)) >= share
        pool = kept.to(self.rows.plain.dtype) / (1 - share)

        def drop(hidden: Any) -> Any:
            start = int(self.generator.integers(0, size - hidden.numel() + 1))
            return hidden.mul_(pool[start : start + hidden.numel()].view(hidden.shape))

        return drop

    def _validate(self, watched: _Rows) -> float:
        """Return the loss of the members' mean over the rows watched."""
        begin, total = time.monotonic(), 0.0
        with torch.no_grad():
            for start in range(0, len(watched.goal), CHUNK_ROWS):
                part = watched.take(slice(start, start + CHUNK_ROWS))
                scores = _forward(self.mean, part, None)
                if part.goal.is_floating_point():
                    loss = (scores[..., 0].mean(0) - part.goal) ** 2
                else:
                    shares = scores.softmax(-1).mean(0)
                    loss = -shares.gather(1, part.goal[:, None])[:, 0].clamp_min(_LEAST).log()
                total += float((loss * part.weight).sum())
        self.reserve = 1.2 * (time.monotonic() - begin)
        return total / float(watched.weight.sum())


def _forward(weights: Tensors, rows: _Rows, drop: Callable[[Any], Any] | None) -> Any:
    """Compute what `neural_scores.forward` does, with gradients and dropout."""
    cast = {name: value.to(rows.plain.dtype) for name, value in weights.items()}
    parts = [rows.plain]
    if "embed" in cast:
        embedded = torch.baddbmm(cast["embed_bias"], rows.pieces, cast["embed"])
        parts.append(embedded.transpose(0, 1).flatten(1))
    if "table" in cast:
        parts.append(functional.embedding(rows.codes, cast["table"]).flatten(1))
    hidden = torch.cat(parts, 1) * cast["adapter"]
    for layer in range(layers(weights)):
        shared = hidden.flatten(0, 1) @ cast[f"weight_{layer}"]
        hidden = shared.view(*hidden.shape[:2], -1).add_(cast[f"bias_{layer}"])
        hidden = torch.relu_(hidden if drop is None else drop(hidden))
    return torch.baddbmm(cast["out_bias"], hidden, cast["out"]).float()


def _losses(scores: Any, goal: Any) -> Any:
    """Return the loss of every member and row, shape (n_members, n_rows)."""
    if goal.is_floating_point():
        return (scores[..., 0] - goal) ** 2
    members = scores.shape[0]
    losses = functional.cross_entropy(scores.flatten(0, 1), goal.repeat(members), reduction="none")
    return losses.view(members, -1)


def _copy(weights: Tensors) -> Tensors:
    return {name: value.detach().clone() for name, value in weights.items()}


def _to_torch(coded: Coded, goal: NDArray[Any], weight: NDArray[np.float32]) -> _Rows:
    fast = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)()
    dtype = torch.bfloat16 if fast else torch.float32
    return _Rows(
        torch.from_numpy(coded.plain).to(dtype),
        torch.from_numpy(coded.pieces).to(dtype),
        torch.from_numpy(coded.codes),
        torch.from_numpy(goal),
        torch.from_numpy(weight),
    )


def _batch(rows: int) -> int:
    """Return how many rows a step takes: a hundredth of them, rounded to a power of two."""
    return int(np.clip(2 ** round(math.log2(max(1, rows / 60))), 32, 256))


@contextmanager
def _limited_threads(count: int) -> Iterator[None]:
    """Let PyTorch use so many threads for a while."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
