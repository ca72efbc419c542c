"""Transformers of points in time."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal, Self
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
from sklearn.utils.validation import check_is_fitted, validate_data

from tasks.tabular.periods import PERIODS
from tasks.tabular.transformers.base import GapTransformer

if TYPE_CHECKING:
    from datetime import date

    from numpy.typing import NDArray

Part = Literal[
    "year",
    "quarter",
    "month",
    "week",
    "day",
    "dayofweek",
    "dayofyear",
    "hour",
    "minute",
    "second",
    "weekend",
    "holiday",
    "days",
]
"""`dayofweek` is 0 on Monday; `days` are those since 1970 or the date given, with fractions."""

USUAL_PARTS: tuple[Part, ...] = ("year", "month", "day", "dayofweek", "hour", "days")

_UNITS = {"days": 86_400.0, "hours": 3_600.0, "minutes": 60.0, "seconds": 1.0}
Unit = Literal["days", "hours", "minutes", "seconds"]


_LAST = 253_402_300_800.0
"""The year 10000 in Unix seconds, from which there are no dates."""


class Dates(GapTransformer):
    """What the transformers below share: they read dates, and numbers as Unix seconds."""

    def fit(self, X: Any, y: Any = None) -> Self:  # noqa: ARG002, N803 - sklearn's names
        """Learn the names."""
        self._instants(X, reset=True)
        return self

    def _instants(self, X: Any, *, reset: bool) -> list[pd.Series[Any]]:  # noqa: N803 - sklearn's name
        if isinstance(X, pd.DataFrame):
            validate_data(self, X, reset=reset, skip_check_array=True)
            return [_instants(X[name]) for name in X.columns]
        numbers = validate_data(
            self, X, reset=reset, dtype=np.float64, ensure_all_finite="allow-nan"
        )
        return [_instants(pd.Series(each)) for each in numbers.T]

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "n_features_in_")


class DateParts(Dates):
    """Split dates into parts as the clocks of a time zone show them.

    Parameters
    ----------
    parts : tuple of Part
    cyclical : bool, default False
        Parts that come round again also as sine and cosine, so that December is near January.
    timezone : str, default "UTC"
        IANA name; the hours of two clock changes a year are those people there live by.
    since : str, default "1970-01-01"
        Date from which `days` count.
    country : str
        ISO code of the country whose public holidays `holiday` means.

    A missing date gives missing parts.
    """

    def __init__(
        self,
        parts: tuple[Part, ...] = USUAL_PARTS,
        *,
        cyclical: bool = False,
        timezone: str = "UTC",
        since: str = "1970-01-01",
        country: str = "",
    ) -> None:
        self.parts = parts
        self.cyclical = cyclical
        self.timezone = timezone
        self.since = since
        self.country = country

    def fit(self, X: Any, y: Any = None) -> Self:  # noqa: N803 - sklearn's name
        """Learn the names, and take the country's calendar along."""
        super().fit(X, y)
        if self.country:
            import holidays  # noqa: PLC0415 - a second, and few ask for it

            self.calendar_ = type(holidays.country_holidays(self.country))
        return self

    def transform(self, X: Any) -> NDArray[np.float64]:  # noqa: N803 - sklearn's name
        """Return the parts column by column, shape (n_rows, n_columns * n_parts)."""
        check_is_fitted(self)
        zone = ZoneInfo(self.timezone)  # by its name pandas takes pytz's, which ends in 2037
        made = [
            values
            for dates in self._instants(X, reset=False)
            for values in self._parts(dates.dt.tz_convert(zone))
        ]
        return np.column_stack(made) if made else np.empty((len(X), 0))

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[Any]:
        """Name the parts `column_part`."""
        suffixes: list[str] = []
        for part in self.parts:
            suffixes.append(part)
            if self.cyclical and part in PERIODS:
                suffixes += [f"{part}_sin", f"{part}_cos"]
        named = [f"{name}_{suffix}" for name in self._inputs(input_features) for suffix in suffixes]
        return np.asarray(named, dtype=object)

    def _parts(self, dates: pd.Series[Any]) -> list[NDArray[np.float64]]:
        absent = dates.isna().to_numpy()
        made: list[NDArray[np.float64]] = []
        for part in self.parts:
            values = self._part(dates, part)
            values[absent] = np.nan
            made.append(values)
            if self.cyclical and part in PERIODS:
                first, period = PERIODS[part]
                angles = (values - first) * (2 * np.pi / period)
                made += [np.sin(angles), np.cos(angles)]
        return made

    def _part(self, dates: pd.Series[Any], part: str) -> NDArray[np.float64]:
        if part == "days":
            # by the wall clock: a day has 24 hours also when clocks change
            passed = dates.dt.tz_localize(None) - pd.Timestamp(self.since).as_unit("us")
            return np.array(passed.dt.total_seconds() / _UNITS["days"], dtype=float)
        if part == "weekend":
            return np.array(dates.dt.dayofweek >= 5, dtype=float)  # noqa: PLR2004 - Saturday
        if part == "holiday":
            return self._holidays(dates)
        if part == "week":
            return np.array(dates.dt.isocalendar().week.to_numpy(dtype=float, na_value=np.nan))
        return np.array(getattr(dates.dt, part).to_numpy(dtype=float, na_value=np.nan))

    def _holidays(self, dates: pd.Series[Any]) -> NDArray[np.float64]:
        days = dates.dt.date
        years = {day.year for day in days.dropna().unique()}
        found = {day for year in years for day in _holidays(self.calendar_, year)}
        known = {day: float(day in found) for day in days.dropna().unique()}
        return np.array(days.map(known), dtype=float)


class Elapsed(Dates):
    """Time from the first of two dates to the second, named `end-start`."""

    def __init__(self, unit: Unit = "days") -> None:
        self.unit = unit

    def transform(self, X: Any) -> NDArray[np.float64]:  # noqa: N803 - sklearn's name
        """Return the times from the first column to every other, in the unit."""
        check_is_fitted(self)
        start, *ends = self._instants(X, reset=False)
        spans = [(end - start).dt.total_seconds().to_numpy() / _UNITS[self.unit] for end in ends]
        return np.column_stack(spans) if spans else np.empty((len(start), 0))

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[Any]:
        """Name the spans."""
        start, *ends = self._inputs(input_features)
        return np.asarray([f"{end}-{start}" for end in ends], dtype=object)


@lru_cache(maxsize=1_000)
def _holidays(calendar: Any, year: int) -> frozenset[date]:
    return frozenset(calendar(years=year))


def _instants(values: pd.Series[Any]) -> pd.Series[Any]:
    """Return UTC timestamps; numbers are Unix seconds."""
    if isinstance(values.dtype, pd.DatetimeTZDtype):
        return values
    if pd.api.types.is_numeric_dtype(values.dtype):
        bounded = values.where(values.abs() < _LAST)
        return pd.to_datetime((bounded * 1e6).round().astype("Int64"), unit="us", utc=True)
    return pd.to_datetime(values, utc=True)
