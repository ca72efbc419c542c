"""A conditional variational autoencoder of tables with mixed types, to make up rows of a class.

Needs PyTorch, which is an extra: import this module where it is used.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.nn import functional

from tasks.tabular.errors import ResamplingError
from tasks.tabular.generative import code

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from tasks.tabular.schema import Schema

Device = Literal["auto", "cpu", "cuda"]

MIN_ROWS = 20
"""Rows of a class below which nothing is learned of it."""

MAX_ROWS = 20_000
"""Rows trained on; of frequent classes a sample is enough to learn what rare ones share."""

_CHUNK_ROWS = 10_000
_WATCHED = 2_000
_DRAWS = 3
_LEAST_BATCH = 50


@dataclass(frozen=True, slots=True)
class VaePolicy:
    """How the autoencoder is built and trained."""

    latent: int = 24
    hidden: int = 128
    batch_rows: int = 500
    min_steps: int = 1_000
    max_steps: int = 5_000
    patience_steps: int = 800
    watch_steps: int = 40
    learning_rate: float = 2e-3
    temperature: float = 0.4
    reconstruction_weight: float = 2.0


class TabularVae:
    """Learns the rows of a table given their class, and makes up more of any class.

    Numbers are coded by the component of a Gaussian mixture they lie in and by their place in
    it, categories and truth values one by one, and a gap is a value like others. The decoder
    draws categories and components by the Gumbel-softmax trick [2]_, so that gradients pass,
    and places numbers given what was drawn: a row's parts fit each other. Training stops when
    the evidence lower bound of held-out rows no longer improves. The mixture coding follows
    [1]_.

    Parameters
    ----------
    seed : int, default 0
        The same seed and rows give the same rows on a CPU.
    device : {"auto", "cpu", "cuda"}, default "auto"

    References
    ----------
    .. [1] Xu et al. (2019), "Modeling tabular data using conditional GAN", NeurIPS.
    .. [2] Jang, Gu and Poole (2017), "Categorical reparameterization with Gumbel-softmax".
    """

    def __init__(
        self, *, seed: int = 0, device: Device = "auto", policy: VaePolicy | None = None
    ) -> None:
        self.seed = seed
        self.device = device
        self.policy = policy or VaePolicy()

    def fit(self, rows: pd.DataFrame, y: pd.Series[Any], schema: Schema) -> Self:
        """Learn the rows of every class.

        Parameters
        ----------
        rows : frame, shape (n_rows, n_columns)
            In the types of `conform`.
        y : series, shape (n_rows,)
            Class labels.

        Raises
        ------
        ResamplingError
            If a class has fewer than `MIN_ROWS` rows, or there is no CUDA device to be had.
        """
        counts = y.value_counts()
        if counts.iloc[-1] < MIN_ROWS:
            problem = (
                f"class {counts.index[-1]!r} has {counts.iloc[-1]} rows, {MIN_ROWS} are needed"
            )
            raise ResamplingError("vae", problem)
        self._where = _place(self.device)
        generator = np.random.default_rng(self.seed)
        chosen = _balanced(y, generator)
        rows, y = rows.iloc[chosen].reset_index(drop=True), y.iloc[chosen].reset_index(drop=True)
        kinds = {each.name: each.kind for each in schema.columns}
        self.columns_ = [
            code(rows[name], kinds[str(name)], self.seed, generator) for name in rows.columns
        ]
        self.classes_ = sorted(counts.index.tolist())
        codes = np.searchsorted(np.asarray(self.classes_), y.to_numpy())
        coded = [each.encode(rows[each.name], generator) for each in self.columns_]
        parts = np.column_stack([part for part, _ in coded])
        places = np.column_stack([place for _, place in coded])
        with _seeded(self.seed):
            self._train(_tensors(parts, places, codes, self._where), generator)
        return self

    def sample(self, rows: int, label: Any) -> pd.DataFrame:
        """Make up rows of a class, shape (rows, n_columns), in the types fitted on."""
        chunks = [
            self._sampled(min(_CHUNK_ROWS, rows - start), label, start)
            for start in range(0, rows, _CHUNK_ROWS)
        ]
        return pd.concat(chunks, ignore_index=True)

    def _sampled(self, rows: int, label: Any, start: int) -> pd.DataFrame:
        code = self.classes_.index(label)
        generator = np.random.default_rng([self.seed, code, start])
        with _seeded(self.seed + 1 + code + start), torch.no_grad():
            latent = torch.randn(rows, self.policy.latent).to(self._where)
            classes = _one_hot(torch.full((rows,), code, device=self._where), len(self.classes_))
            parts, means, deviations = self.network_.decode(latent, classes)
            drawn = torch.normal(means, deviations).cpu().numpy()
            chosen = [each.argmax(dim=1).cpu().numpy() for each in parts]
        numbers = iter(range(drawn.shape[1]))
        made = {
            each.name: each.decode(
                chosen[place], drawn[:, next(numbers)] if each.has_place else None, generator
            )
            for place, each in enumerate(self.columns_)
        }
        return pd.DataFrame(made)

    def _train(self, table: _Table, generator: np.random.Generator) -> None:
        """Train on nine tenths of the rows until the others say stop."""
        policy = self.policy
        sizes = [each.size for each in self.columns_]
        self.network_ = _Network(sizes, self._numeric(), len(self.classes_), policy).to(self._where)
        optimiser = torch.optim.Adam(
            self.network_.parameters(), lr=policy.learning_rate, weight_decay=1e-5
        )
        order = generator.permutation(table.rows)
        held = max(1, table.rows // 10)
        watched, training = table.take(order[: min(held, _WATCHED)]), order[held:]
        best, best_loss, since = self._weights(), np.inf, 0
        for step, batch in enumerate(self._batches(training, generator), 1):
            self.network_.train()
            optimiser.zero_grad()
            loss = self.network_.loss(table.take(batch))
            loss.backward()
            nn.utils.clip_grad_norm_(self.network_.parameters(), 5.0)
            optimiser.step()
            if step % policy.watch_steps:
                continue
            bound = self._bound(watched)
            if bound < best_loss - 1e-3 * abs(best_loss if np.isfinite(best_loss) else 0.0):
                best, best_loss, since = self._weights(), bound, step
            elif step >= policy.min_steps and step - since >= policy.patience_steps:
                break
        self.steps_, self.bound_ = step, best_loss
        self.network_.load_state_dict(best)
        self.network_.eval()

    def _batches(
        self, rows: NDArray[np.intp], generator: np.random.Generator
    ) -> Iterator[NDArray[np.intp]]:
        """Yield batches of shuffled rows until the steps are used up; small ones of few rows."""
        size = min(self.policy.batch_rows, max(_LEAST_BATCH, len(rows) // 20))
        steps = 0
        while True:
            for batch in np.array_split(generator.permutation(rows), max(1, len(rows) // size)):
                if steps == self.policy.max_steps:
                    return
                steps += 1
                yield batch

    def _bound(self, watched: _Table) -> float:
        """Return the negative evidence lower bound of the rows watched, by fixed draws."""
        self.network_.eval()
        with torch.no_grad(), _seeded(self.seed):
            return float(np.mean([float(self.network_.loss(watched)) for _ in range(_DRAWS)]))

    def _weights(self) -> dict[str, torch.Tensor]:
        return {name: value.detach().clone() for name, value in self.network_.state_dict().items()}

    def _numeric(self) -> list[int]:
        return [place for place, each in enumerate(self.columns_) if each.has_place]


@dataclass(frozen=True, slots=True)
class _Table:
    """Coded rows: `parts` are codes, `places` numbers within their component, NaN elsewhere."""

    parts: torch.Tensor
    places: torch.Tensor
    classes: torch.Tensor

    @property
    def rows(self) -> int:
        return len(self.classes)

    def take(self, rows: NDArray[np.intp]) -> _Table:
        index = torch.as_tensor(rows, device=self.parts.device)
        return _Table(self.parts[index], self.places[index], self.classes[index])


class _Network(nn.Module):  # type: ignore[misc]  # torch may not be installed
    """Encoder and decoder; `sizes` are the numbers of codes of every column."""

    def __init__(
        self, sizes: list[int], numeric: list[int], classes: int, policy: VaePolicy
    ) -> None:
        super().__init__()
        self.sizes, self.numeric, self.classes, self.policy = sizes, numeric, classes, policy
        width, hidden = sum(sizes) + len(numeric), policy.hidden
        self.encoder = _layers(width + classes, hidden)
        self.mean, self.log_variance = (nn.Linear(hidden, policy.latent) for _ in range(2))
        self.decoder = _layers(policy.latent + classes, hidden)
        self.choices = nn.Linear(hidden, sum(sizes))
        self.place = nn.Sequential(
            nn.Linear(hidden + sum(sizes), hidden), nn.ReLU(), nn.Linear(hidden, len(numeric))
        )
        self.log_deviation = nn.Parameter(torch.full((len(numeric),), -1.0))

    def decode(
        self, latent: torch.Tensor, classes: torch.Tensor
    ) -> tuple[list[torch.Tensor], torch.Tensor, torch.Tensor]:
        """Draw the codes of every column, and where numbers lie given what was drawn."""
        hidden = self.decoder(torch.cat([latent, classes], dim=1))
        logits = self.choices(hidden).split(self.sizes, dim=1)
        drawn = [functional.gumbel_softmax(each, 1.0, hard=True) for each in logits]
        means = torch.tanh(self.place(torch.cat([hidden, *drawn], dim=1)))
        return drawn, means, self._deviation().expand_as(means)

    def loss(self, table: _Table) -> torch.Tensor:
        """Return the negative evidence lower bound, a mean over rows."""
        given = [_one_hot(table.parts[:, p], size) for p, size in enumerate(self.sizes)]
        places = torch.nan_to_num(table.places[:, self.numeric])
        classes = _one_hot(table.classes, self.classes)
        encoded = self.encoder(torch.cat([*given, places, classes], dim=1))
        mean, log_variance = self.mean(encoded), self.log_variance(encoded).clamp(-8, 8)
        latent = mean + torch.randn_like(mean) * torch.exp(log_variance / 2)
        divergence = -0.5 * (1 + log_variance - mean**2 - log_variance.exp()).sum(dim=1)
        fit = self._misfit(latent, table, places, classes)
        return (self.policy.reconstruction_weight * fit + divergence).mean()

    def _misfit(
        self, latent: torch.Tensor, table: _Table, places: torch.Tensor, classes: torch.Tensor
    ) -> torch.Tensor:
        """Return the negative log likelihood of the rows, shape (n_rows,)."""
        hidden = self.decoder(torch.cat([latent, classes], dim=1))
        logits = self.choices(hidden).split(self.sizes, dim=1)
        misfit = sum(
            functional.cross_entropy(each, table.parts[:, p], reduction="none")
            for p, each in enumerate(logits)
        )
        if not self.numeric:
            return torch.as_tensor(misfit)
        drawn = [functional.gumbel_softmax(each, self.policy.temperature) for each in logits]
        # where a row's own component is known it is given, as if it had been drawn
        drawn = [
            _one_hot(table.parts[:, p], size) if p in self.numeric else drawn[p]
            for p, size in enumerate(self.sizes)
        ]
        means = torch.tanh(self.place(torch.cat([hidden, *drawn], dim=1)))
        deviation = self._deviation()
        there = ~torch.isnan(table.places[:, self.numeric])
        density = ((places - means) / deviation) ** 2 / 2 + torch.log(deviation)
        return torch.as_tensor(misfit) + (density * there).sum(dim=1)

    def _deviation(self) -> torch.Tensor:
        return self.log_deviation.clamp(-5, 0).exp()


def _balanced(y: pd.Series[Any], generator: np.random.Generator) -> NDArray[np.intp]:
    """Choose at most `MAX_ROWS` rows: all of the rare classes, and of the others alike."""
    counts = y.value_counts(ascending=True)
    left, chosen = MAX_ROWS, []
    for place, label in enumerate(counts.index):
        positions = np.flatnonzero((y == label).to_numpy())
        most = left // (len(counts) - place)
        if len(positions) > most:
            positions = np.sort(generator.choice(positions, most, replace=False))
        left -= len(positions)
        chosen.append(positions)
    return np.sort(np.concatenate(chosen))


def _layers(inputs: int, hidden: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU())


def _one_hot(codes: torch.Tensor, size: int) -> torch.Tensor:
    return functional.one_hot(codes, size).float()


def _tensors(
    parts: NDArray[Any], places: NDArray[Any], codes: NDArray[Any], where: torch.device
) -> _Table:
    return _Table(
        torch.as_tensor(parts, dtype=torch.long, device=where),
        torch.as_tensor(places, dtype=torch.float32, device=where),
        torch.as_tensor(codes, dtype=torch.long, device=where),
    )


def _place(device: Device) -> torch.device:
    there = torch.cuda.is_available()
    if device == "cuda" and not there:
        raise ResamplingError("vae", "there is no CUDA device; use `auto` or `cpu`")
    return torch.device("cuda" if there and device != "cpu" else "cpu")


class _seeded:  # noqa: N801 - used like a function
    """Draw from a stream of its own, and leave the process's stream as it was."""

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def __enter__(self) -> None:
        self._fork = torch.random.fork_rng(devices=range(torch.cuda.device_count()))
        self._fork.__enter__()
        self._threads = torch.get_num_threads()
        torch.set_num_threads(1)  # sums in one order; and threads of small networks only wait
        torch.manual_seed(self._seed)

    def __exit__(self, *failure: object) -> None:
        torch.set_num_threads(self._threads)
        self._fork.__exit__(*failure)
