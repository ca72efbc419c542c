"""PyCaret's `setup` as a preparation: the steps its parameters ask for, in its order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tasks.tabular.spec import PipelineSpec

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tasks.tabular.pycaret_values import Findings

SETUP = "feature_engineering_params"

_MAKING = (
    *("trigonometry_features", "polynomial_features", "low_variance_threshold"),
    *("remove_multicollinearity", "bin_numeric_features", "transformation", "normalize", "pca"),
    "feature_selection",
)
"""Parameters that PyCaret honours on columns that are filled and encoded: with one of them the
whole preparation is PyCaret's."""

_FILLING = ("imputation_type", "numeric_imputation", "categorical_imputation")
_ENCODING = ("max_encoding_ohe", "encoding_method")
_READING = ("categorical_features", "date_features", "create_date_columns", "text_features")
_LEAVING = ("low_variance_threshold", "remove_multicollinearity", "feature_selection")
_STEPS = (*_MAKING, *_FILLING, *_ENCODING, *_READING, "ignore_features")

_ALL_COMPONENTS = 1_000_000
_MOST_PRODUCTS = 10_000
"""As many as the step allows; PyCaret has no limit."""

_MANY = 10**6
"""Categories no column has."""


def preparation(setup: Mapping[str, Any], findings: Findings) -> PipelineSpec | None:
    """Return the steps that `setup`, as `pycaret_parameters.read` left it, asks for.

    None stands for nothing but the learner's usual preparation.
    """
    return _Preparation(setup, findings).spec()


def dropped(setup: Mapping[str, Any]) -> set[str]:
    """Return the columns that are no features."""
    index = setup.get("index")
    return {*(setup.get("ignore_features") or ()), *([index] if index else ())}


def _asks(value: Any) -> bool:
    return value is not None and value is not False and value != ()


class _Preparation:
    def __init__(self, setup: Mapping[str, Any], findings: Findings) -> None:
        self._setup = setup
        self._findings = findings

    def spec(self) -> PipelineSpec | None:
        """Return the steps in PyCaret's order; None where nothing is asked for."""
        asked = {each for each in _STEPS if _asks(self._setup.get(each))}
        if "imputation_type" in self._setup:  # null asks for none
            asked.add("imputation_type")
        if dropped(self._setup):
            asked.add("ignore_features")
        if not self._setup.get("preprocess", True):
            for each in sorted(asked - {"ignore_features"}):
                what = "preprocess is false, so that PyCaret would not look at it"
                self._findings.refuse(
                    f"{SETUP}.{each}", self._setup[each], what, "leave one of them out"
                )
            return PipelineSpec.parse({"steps": list(self._dropping()), "remainder": "refuse"})
        making = asked & set(_MAKING)
        if self._setup.get("keep_features") and not asked & set(_LEAVING):
            self._findings.notes.append(
                "keep_features has no effect: nothing is left out by its values"
            )
        if not asked:
            return None
        steps = [*self._dropping(), *self._reading(asked, whole=bool(making))]
        if making or asked & set(_FILLING):
            steps += self._imputing()
        if making or asked & set(_ENCODING):
            steps += self._encoding()
        return PipelineSpec.parse({"steps": [*steps, *self._making()]})

    def _dropping(self) -> Iterator[dict[str, Any]]:
        if columns := dropped(self._setup):
            yield {"step": "drop_columns", "columns": sorted(columns)}

    def _reading(self, asked: set[str], *, whole: bool) -> Iterator[dict[str, Any]]:
        """Yield what turns dates, texts and named categories into numbers."""
        parts = self._setup.get("create_date_columns")
        dates = self._setup.get("date_features")
        if dates or parts or whole:
            chosen = {"columns": list(dates)} if dates else {}
            yield {"step": "date_parts", "parts": list(parts or ("day", "month", "year")), **chosen}
        texts = self._setup.get("text_features")
        if texts or whole:
            yield {"step": "text", **({"columns": list(texts)} if texts else {})}
        if "categorical_features" in asked:
            most = self._most_indicators()
            named = list(self._setup["categorical_features"])
            yield {"step": "one_hot", "columns": named, "max_categories": max(2, most)}
            if most < _MANY:
                self._findings.notes.append(
                    f"categorical_features: the {max(2, most) - 1} most frequent categories of a "
                    "column get an indicator each, the others share one"
                )

    def _imputing(self) -> Iterator[dict[str, Any]]:
        kind = self._setup.get("imputation_type", "simple")
        if kind is None:
            return
        numbers: str | float = self._setup.get("numeric_imputation", "mean")
        texts: str = self._setup.get("categorical_imputation", "mode")
        if kind == "iterative":
            numbers = "iterative"
            self._findings.notes.append(
                "imputation_type: numbers are predicted from the other numbers, categories "
                "filled with the most frequent"
            )
        if (numbers == "drop") != (texts == "drop"):
            name = "numeric_imputation" if numbers == "drop" else "categorical_imputation"
            what = "rows are left out by all their columns"
            self._findings.refuse(f"{SETUP}.{name}", "drop", what, "drop both, or use prepare_data")
            return
        if numbers == "drop":
            self._findings.notes.append(
                "numeric_imputation: rows with gaps are left out in training only"
            )
            yield {"step": "drop_nulls"}
            return
        if isinstance(numbers, str):
            yield {"step": "impute", "strategy": numbers}
        else:
            yield {"step": "impute", "strategy": "constant", "fill_value": numbers}
        how = {"strategy": "constant", "fill_value": texts}
        if texts == "mode":
            how = {"strategy": "most_frequent"}
        yield {"step": "impute", "columns": "categorical", **how}

    def _most_indicators(self) -> int:
        most: int = self._setup.get("max_encoding_ohe", 25)
        return _MANY if most < 0 else most

    def _encoding(self) -> Iterator[dict[str, Any]]:
        most = self._most_indicators()
        method = self._setup.get("encoding_method") or "target_encode"
        if most < _MANY:
            # a column of more categories gets one number; 0 would mean all columns to the step,
            # and does to PyCaret
            yield {"step": method, "more_than": most}
        yield {"step": "one_hot", "max_categories": max(2, most + 1)}

    def _making(self) -> Iterator[dict[str, Any]]:
        """Yield what is done with columns that are numbers."""
        setup = self._setup
        keep = {"without": list(setup.get("keep_features") or ())}
        if setup.get("trigonometry_features"):
            yield {"step": "trigonometry"}
        if setup.get("polynomial_features"):
            degree = setup.get("polynomial_degree", 2)
            yield {"step": "polynomial", "degree": degree, "max_features": _MOST_PRODUCTS}
        if setup.get("low_variance_threshold") is not None:
            yield {"step": "drop_constant", "threshold": setup["low_variance_threshold"], **keep}
        if setup.get("remove_multicollinearity"):
            threshold = setup.get("multicollinearity_threshold", 0.9)
            yield {"step": "drop_correlated", "threshold": threshold, **keep}
        if setup.get("bin_numeric_features"):
            columns = list(setup["bin_numeric_features"])
            yield {"step": "bin", "columns": columns, "strategy": "kmeans", "bins": 10}
        if setup.get("transformation"):
            yield {"step": "scale", "method": setup.get("transformation_method", "power")}
        if setup.get("normalize"):
            yield {"step": "scale", "method": setup.get("normalize_method", "standard")}
        if setup.get("pca"):
            yield {"step": "pca", "components": setup.get("pca_components") or _ALL_COMPONENTS}
        if setup.get("feature_selection"):
            yield from self._selecting(keep)

    def _selecting(self, keep: dict[str, list[str]]) -> Iterator[dict[str, Any]]:
        if "n_features_to_select" not in self._setup:
            place = f"{SETUP}.feature_selection"
            what = "PyCaret would keep a fifth of the columns, here they are counted"
            self._findings.refuse(place, True, what, "set n_features_to_select to a whole number")  # noqa: FBT003 - a value
            return
        method = self._setup.get("feature_selection_method", "forest")
        if method == "forest":
            self._findings.notes.append(
                "feature_selection: by the importance in a forest of extra trees"
            )
        yield {
            "step": "select",
            "method": method,
            "features": self._setup["n_features_to_select"],
            **keep,
        }
