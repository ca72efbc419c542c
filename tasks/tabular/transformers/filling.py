"""Missing values filled, numbers as numbers and texts as texts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
import pandas as pd
from pandas.api import types
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.impute import KNNImputer, SimpleImputer
from sklearn.utils.validation import check_is_fitted, validate_data

if TYPE_CHECKING:
    from numpy.typing import NDArray

Strategy = Literal["median", "mean", "most_frequent", "constant", "knn", "iterative"]

_FOR_NUMBERS = ("median", "mean", "knn", "iterative")


class Filler(TransformerMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn is untyped
    """scikit-learn's imputers, one for the numbers and one for the texts of a frame.

    Parameters
    ----------
    strategy : Strategy, default "median"
    fill_value : float or str, optional
        With `constant`: a number fills numbers, a text texts.
    indicator : bool, default False
        A column of 0 and 1 for every column that had gaps when fitted.
    neighbors : int, default 5
        With `knn`.
    """

    def __init__(
        self,
        strategy: Strategy = "median",
        fill_value: float | str | None = None,
        *,
        indicator: bool = False,
        neighbors: int = 5,
        random_state: int = 0,
    ) -> None:
        self.strategy = strategy
        self.fill_value = fill_value
        self.indicator = indicator
        self.neighbors = neighbors
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None) -> Self:  # noqa: ARG002, N803 - sklearn's names
        """Learn what fills every column."""
        self._fit(self._frame(X, reset=True))
        return self

    def fit_transform(self, X: Any, y: Any = None) -> Any:  # noqa: ARG002, N803 - sklearn's names
        """Fit and fill, gathering the numbers once."""
        frame = self._frame(X, reset=True)
        return self._answer(X, frame, self._fit(frame))

    def transform(self, X: Any) -> Any:  # noqa: N803 - sklearn's name
        """Return the filled columns, texts as objects, and then the indicators."""
        check_is_fitted(self)
        frame = self._frame(X, reset=False)
        return self._answer(X, frame, _gathered(frame, self.numbers_))

    def _fit(self, frame: pd.DataFrame) -> NDArray[np.float64]:
        self.numbers_ = [n for n, kind in frame.dtypes.items() if types.is_numeric_dtype(kind)]
        self.texts_ = [name for name in frame.columns if name not in set(self.numbers_)]
        self._require_kinds()
        numbers = _gathered(frame, self.numbers_)
        self.number_filler_ = self._imputer().fit(numbers) if self.numbers_ else None
        self.text_filler_ = None
        if self.texts_:
            self.text_filler_ = SimpleImputer(
                missing_values=None,
                strategy=self.strategy,
                fill_value=self.fill_value,
                keep_empty_features=True,
            ).fit(_with_none(frame[self.texts_]))
        self.fills_ = self._fills()
        empty: list[bool] = np.asarray(np.isnan(numbers).any(axis=0)).tolist()
        gaps = dict(zip(self.numbers_, empty, strict=True))
        gaps |= {name: bool(frame[name].isna().any()) for name in self.texts_}
        self.marked_ = [name for name in frame.columns if self.indicator and gaps[name]]
        return numbers

    def _answer(self, given: Any, frame: pd.DataFrame, numbers: NDArray[np.float64]) -> Any:
        """Fill; in one array, because single columns would be gathered again by every step."""
        places = {name: place for place, name in enumerate(self.numbers_)}
        marked = [places[name] for name in self.marked_ if name in places]
        marks = np.isnan(numbers[:, marked]).astype(np.float64)
        filled = numbers if self.number_filler_ is None else self.number_filler_.transform(numbers)
        names = [*self.numbers_, *(_mark(self.numbers_[place]) for place in marked)]
        made = pd.DataFrame(np.hstack([filled, marks]) if marked else filled, frame.index, names)
        if self.text_filler_ is not None:
            texts = self.text_filler_.transform(_with_none(frame[self.texts_]))
            made = pd.concat([made, pd.DataFrame(texts, frame.index, self.texts_)], axis=1)
            for name in self.marked_:
                if name not in places:
                    made[_mark(name)] = frame[name].isna().to_numpy(dtype=np.float64)
        ordered = [*frame.columns, *map(_mark, self.marked_)]
        made = made if list(made.columns) == ordered else made[ordered]
        return made if isinstance(given, pd.DataFrame) else made.to_numpy()

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[Any]:  # noqa: ARG002 - sklearn's name
        """Name the columns and the indicators, `missing(x)`."""
        check_is_fitted(self)
        names = getattr(self, "feature_names_in_", [f"x{p}" for p in range(self.n_features_in_)])
        return np.asarray([*names, *map(_mark, self.marked_)], dtype=object)

    def __sklearn_tags__(self) -> Any:
        """Missing values and texts pass."""
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.string = True
        return tags

    def _imputer(self) -> Any:
        if self.strategy == "knn":
            return KNNImputer(n_neighbors=self.neighbors, keep_empty_features=True)
        if self.strategy == "iterative":
            from sklearn.experimental import enable_iterative_imputer  # noqa: F401, PLC0415
            from sklearn.impute import IterativeImputer  # noqa: PLC0415 - the line above opens it

            return IterativeImputer(random_state=self.random_state, keep_empty_features=True)
        return SimpleImputer(
            strategy=self.strategy,
            fill_value=self.fill_value,
            keep_empty_features=True,
            copy=False,
        )

    def _fills(self) -> dict[str, Any]:
        """Return what fills every column, where that is one value."""
        found: dict[str, Any] = {}
        for names, filler in (
            (self.numbers_, self.number_filler_),
            (self.texts_, self.text_filler_),
        ):
            values = getattr(filler, "statistics_", ())
            found |= {str(name): value for name, value in zip(names, values, strict=False)}
        return found

    def _require_kinds(self) -> None:
        """Refuse what would leave gaps, or put texts among numbers."""
        if self.texts_ and self.strategy in _FOR_NUMBERS:
            raise ValueError(
                f"{self.strategy} fills numbers; fill texts by most_frequent or constant, in a "
                "step of their own"
            )
        if self.strategy != "constant":
            return
        if self.texts_ and not isinstance(self.fill_value, str):
            raise ValueError("texts are filled by a text; give numbers a step of their own")
        if self.numbers_ and isinstance(self.fill_value, str):
            raise ValueError("numbers are filled by a number; give texts a step of their own")

    def _frame(self, X: Any, *, reset: bool) -> pd.DataFrame:  # noqa: N803 - sklearn's name
        if isinstance(X, pd.DataFrame):
            validate_data(self, X, reset=reset, skip_check_array=True)
            return X
        array = validate_data(self, X, reset=reset, dtype=np.float64, ensure_all_finite="allow-nan")
        return pd.DataFrame(array, columns=[f"x{place}" for place in range(array.shape[1])])


def _mark(name: Any) -> str:
    return f"missing({name})"


def _gathered(frame: pd.DataFrame, names: list[Any]) -> NDArray[np.float64]:
    """Return columns of numbers in an array of their own, which may be written to."""
    return np.array(frame[names] if len(names) < frame.shape[1] else frame, dtype=np.float64)


def _with_none(frame: pd.DataFrame) -> pd.DataFrame:
    texts = frame.astype(object)
    texts[frame.isna()] = None
    return texts
