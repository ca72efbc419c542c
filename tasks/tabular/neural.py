"""Neural networks for tables: small ensembles that train in seconds on one thread.

Fitting needs PyTorch, which is an extra; what is fitted predicts without.
"""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils.validation import check_is_fitted
from threadpoolctl import threadpool_limits

from tasks.tabular.errors import TabularError
from tasks.tabular.neural_layers import CHUNK_ROWS, Coder, draw_weights, fill_gaps
from tasks.tabular.neural_scores import forward, softmax

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Table = pd.DataFrame | NDArray[Any]

_CELLS = 60_000_000
"""Pieces of all numbers of all rows that are held in memory, 2 to 4 bytes each."""

_LEAST_PIECES = 8

_HELD_SHARE = 0.15

_MARGIN = 0.05
"""How far beyond the range of values fitted on a prediction may lie, in ranges."""


class _Part(NamedTuple):
    """Rows, what the network says of them, and their weights."""

    rows: pd.DataFrame
    goal: NDArray[Any]
    weight: NDArray[np.float32]

    def take(self, places: NDArray[Any]) -> _Part:
        return _Part(self.rows.iloc[places], self.goal[places], self.weight[places])


class MissingExtraError(TabularError):
    """An optional library is not installed."""

    def __init__(self, library: str, remedy: str) -> None:
        super().__init__(library, remedy)
        self.library = library
        self.remedy = remedy

    def __str__(self) -> str:
        return f"train: {self.library} is not installed; {self.remedy}"


class Neural(BaseEstimator):  # type: ignore[misc]  # sklearn has no types
    """What both kinds of network share.

    Members share all hidden layers, so that `members` of them cost as much to train as one
    network with as many times the rows, and predict better than it.

    Parameters
    ----------
    width, depth : int, default 192 and 2
        Units of a hidden layer, and hidden layers.
    members : int, default 4
        Networks whose predictions are averaged.
    embedding : int, default 12
        Inputs made of every number; less where there are many numbers, 0 for none.
    pieces : int, default 48
        Most pieces of the piecewise-linear functions that numbers are coded by.
    dropout : float, default 0.1
    learning_rate : float, default 0.012
        Its peak; it rises at first and falls to zero along a cosine.
    weight_decay : float, default 0.03
    epochs : int, optional
        Most epochs; by default as many as pass 800,000 rows, between 20 and 100.
    batch_size : int, optional
        By default between 32 and 256, by the number of rows.
    patience : int, default 16
        Epochs without a better validation loss after which training stops.
    random_state : int, default 0
    threads : int, default 1
    """

    def __init__(
        self,
        *,
        width: int = 192,
        depth: int = 2,
        members: int = 4,
        embedding: int = 12,
        pieces: int = 48,
        dropout: float = 0.1,
        learning_rate: float = 0.012,
        weight_decay: float = 0.03,
        epochs: int | None = None,
        batch_size: int | None = None,
        patience: int = 16,
        random_state: int = 0,
        threads: int = 1,
    ) -> None:
        self.width = width
        self.depth = depth
        self.members = members
        self.embedding = embedding
        self.pieces = pieces
        self.dropout = dropout
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.epochs = epochs
        self.batch_size = batch_size
        self.patience = patience
        self.random_state = random_state
        self.threads = threads

    def fit(
        self,
        X: Table,  # noqa: N803 - scikit-learn's name
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        validation: tuple[Table, ArrayLike] | None = None,
        stop_at: float | None = None,
    ) -> Self:
        """Learn from rows; keep the weights of the epoch that was best on others.

        Parameters
        ----------
        X : frame or array, shape (n_rows, n_columns)
            Numbers, with gaps and infinities, and columns of pandas' category type.
        y : array, shape (n_rows,)
            Class labels or values.
        sample_weight : array, shape (n_rows,), optional
            How much each row counts, in relation to others.
        validation : pair of frame and array, optional
            Rows to choose the epoch by; by default 15 % of `X`, which is then not learned
            from. Rows of classes that `y` has not are left out.
        stop_at : float, optional
            Instant of `time.monotonic` to be done by: the learning rate falls to zero then.
            Without it, the same rows and seed give the same network.

        Raises
        ------
        MissingExtraError
            If PyTorch is not installed.
        """
        try:
            from tasks.tabular.neural_training import train  # noqa: PLC0415 - torch is an extra
        except ImportError as error:
            raise MissingExtraError("PyTorch", "run `make torch`") from error
        rows, target = _frame(X), np.asarray(y).ravel()
        weight = np.ones(len(rows)) if sample_weight is None else np.asarray(sample_weight)
        given = _Part(rows, self._goal(target), (weight / weight.mean()).astype(np.float32))
        generator = np.random.default_rng(self.random_state)
        learned, watched = self._parts(given, validation, generator)
        pieces = max(_LEAST_PIECES, min(self.pieces, _CELLS // max(1, learned.rows.size)))
        self.coder_ = Coder(pieces).fit(learned.rows)
        self.n_features_in_ = rows.shape[1]
        coded = self.coder_.code(learned.rows)
        weights = draw_weights(
            self.coder_,
            coded.plain.shape[1],
            self._outputs(),
            members=self.members,
            width=self.width,
            depth=self.depth,
            embedding=self.embedding,
            generator=generator,
        )
        trained = train(
            weights,
            (coded, learned.goal, learned.weight),
            (self.coder_.code(self.coder_.aligned(watched.rows)), watched.goal, watched.weight),
            self,
            generator=generator,
            stop_at=stop_at,
        )
        self.weights_, self.loss_ = trained.weights, trained.loss
        self.epochs_, self.best_epoch_ = trained.epochs, trained.best_epoch
        fill_gaps(self.weights_, self.coder_, coded)
        return self

    def _parts(
        self, given: _Part, validation: tuple[Table, ArrayLike] | None, generator: Any
    ) -> tuple[_Part, _Part]:
        """Return the rows to learn from and those to watch: the same if there are no others."""
        if validation is None:
            held = _hold_out(given.goal, generator)
            learned, watched = given.take(~held), given.take(held)
        else:
            rows, goal = _frame(validation[0], given.rows.columns), self._code(validation[1])
            every = _Part(rows, goal, np.ones(len(rows), dtype=np.float32))
            known = goal >= 0 if goal.dtype.kind == "i" else np.ones(len(goal), dtype=bool)
            learned, watched = given, every.take(known)
        return learned, watched if watched.weight.sum() > 0 else learned

    def _scores(self, X: Table) -> NDArray[np.float64]:  # noqa: N803
        """Return scores by member, shape (n_members, n_rows, n_outputs)."""
        check_is_fitted(self, "weights_")
        rows = self.coder_.aligned(_frame(X, self.coder_.columns))
        # BLAS starts no threads for few rows, and limiting it takes longer than their scores
        with threadpool_limits(self.threads) if len(rows) > CHUNK_ROWS else nullcontext():
            chunks = [
                forward(self.weights_, self.coder_.code(rows.iloc[start : start + CHUNK_ROWS]))
                for start in range(0, max(1, len(rows)), CHUNK_ROWS)
            ]
        return np.concatenate(chunks, axis=1, dtype=np.float64)

    def _goal(self, target: NDArray[Any]) -> NDArray[Any]:
        """Learn what `target` is like, and return it as the network learns it."""
        raise NotImplementedError

    def _code(self, target: ArrayLike) -> NDArray[Any]:
        """Return a target like the one fitted on as the network learns it."""
        raise NotImplementedError

    def _outputs(self) -> int:
        raise NotImplementedError


class NeuralClassifier(ClassifierMixin, Neural):  # type: ignore[misc]
    """A classifier by a small ensemble of networks; its parameters are `Neural`'s."""

    def predict_proba(self, X: Table) -> NDArray[np.float64]:  # noqa: N803
        """Return the probabilities of classes, shape (n_rows, n_classes)."""
        shares: NDArray[np.float64] = softmax(self._scores(X)).mean(axis=0)
        return shares

    def predict(self, X: Table) -> NDArray[Any]:  # noqa: N803
        """Return the likeliest classes, shape (n_rows,)."""
        chosen: NDArray[Any] = self.classes_[self.predict_proba(X).argmax(axis=1)]
        return chosen

    def _goal(self, target: NDArray[Any]) -> NDArray[Any]:
        self.classes_ = np.unique(target)
        return self._code(target)

    def _code(self, target: ArrayLike) -> NDArray[Any]:
        labels = np.asarray(target).ravel()
        places = np.searchsorted(self.classes_, labels).clip(max=len(self.classes_) - 1)
        coded: NDArray[Any] = np.where(self.classes_[places] == labels, places, -1)
        return coded

    def _outputs(self) -> int:
        return len(self.classes_)


class NeuralRegressor(RegressorMixin, Neural):  # type: ignore[misc]
    """A regressor by a small ensemble of networks; its parameters are `Neural`'s."""

    def predict(self, X: Table) -> NDArray[np.float64]:  # noqa: N803
        """Return values near the range of those fitted on, shape (n_rows,)."""
        scores = self._scores(X)[..., 0].mean(axis=0) * self.scale_ + self.mean_
        return np.asarray(np.clip(scores, *self.range_))

    def _goal(self, target: NDArray[Any]) -> NDArray[Any]:
        values = target.astype(np.float64)
        low, high = float(values.min()), float(values.max())
        self.mean_, self.scale_ = float(values.mean()), float(values.std()) or 1.0
        self.range_ = (low - _MARGIN * (high - low), high + _MARGIN * (high - low))
        return self._code(values)

    def _code(self, target: ArrayLike) -> NDArray[Any]:
        values = np.asarray(target, dtype=np.float64).ravel()
        return ((values - self.mean_) / self.scale_).astype(np.float32)

    def _outputs(self) -> int:
        return 1


def _frame(rows: Table, names: Any = None) -> pd.DataFrame:
    """Return rows as a frame; the columns of an array are named by their places."""
    if isinstance(rows, pd.DataFrame):
        return rows
    values = np.asarray(rows, dtype=np.float64)
    return pd.DataFrame(values, columns=range(values.shape[1]) if names is None else names)


def _hold_out(goal: NDArray[Any], generator: np.random.Generator) -> NDArray[np.bool_]:
    """Choose the rows to validate on, of every class alike."""
    held = np.zeros(len(goal), dtype=bool)
    classes = goal if goal.dtype.kind == "i" else np.zeros(len(goal), dtype=int)
    for each in np.unique(classes):
        places = generator.permutation(np.flatnonzero(classes == each))
        held[places[: round(_HELD_SHARE * len(places))]] = True
    return held
