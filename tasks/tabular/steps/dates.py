"""Steps that turn dates and texts into numbers."""

from __future__ import annotations

from datetime import date
from typing import Any, ClassVar, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from pydantic import Field, field_validator, model_validator

from tasks.tabular.errors import suggest
from tasks.tabular.steps.base import Columns, Context, Step
from tasks.tabular.transformers.dates import USUAL_PARTS, DateParts, Elapsed, Part, Unit


class DatesToParts(Step):
    """Parts of dates as the clocks of a time zone show them, in the dates' place."""

    step: Literal["date_parts"] = "date_parts"
    columns: Columns = "datetime"
    parts: tuple[Part, ...] = Field(
        default=USUAL_PARTS,
        min_length=1,
        description="`days` are those since `since`; `holiday` needs a `country`",
    )
    cyclical: bool = Field(
        default=False, description="Parts that come round again also as sine and cosine"
    )
    timezone: str = Field(default="UTC", description="IANA name, such as Europe/Berlin")
    since: date = Field(default=date(1970, 1, 1), description="From which `days` count")
    country: str = Field(default="", description="ISO code, whose public holidays count")

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, timezone: str) -> str:
        try:
            ZoneInfo(timezone)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            known = tuple(sorted(available_timezones()))
            near = suggest(timezone, known) if timezone else "UTC is one"
            raise ValueError(f"there is no time zone {timezone!r}; {near[:200]}") from None
        return timezone

    @model_validator(mode="after")
    def _known_country(self) -> Self:
        if ("holiday" in self.parts) != bool(self.country):
            raise ValueError("the part `holiday` and a `country` belong together")
        if self.country:
            import holidays  # noqa: PLC0415 - a second, and few ask for it

            known = tuple(holidays.list_supported_countries())
            if self.country not in known:
                raise ValueError(f"there is no country {self.country!r} with known holidays")
        return self

    def build(self, context: Context) -> Any:  # noqa: ARG002 - not needed
        """Return the parts."""
        return DateParts(
            self.parts,
            cyclical=self.cyclical,
            timezone=self.timezone,
            since=self.since.isoformat(),
            country=self.country,
        )


class ElapsedTime(Step):
    """Time from one date to another, as a new column `end-start`."""

    step: Literal["elapsed"] = "elapsed"
    columns: tuple[str, str] = Field(description="From the first to the second")
    unit: Unit = "days"

    keeps: ClassVar[bool] = True

    def build(self, context: Context) -> Any:  # noqa: ARG002 - not needed
        """Return the span."""
        return Elapsed(self.unit)


class Text(Step):
    """Free texts as a few numbers: the frequencies of their words, projected (TF-IDF, SVD)."""

    step: Literal["text"] = "text"
    columns: Columns = "text"
    components: int = Field(default=30, ge=1, le=1_000, description="Numbers per column")
    analyzer: Literal["word", "char", "char_wb"] = Field(
        default="word", description="Words, or runs of characters (within words)"
    )
    ngrams: tuple[int, int] = Field(default=(1, 1), description="Shortest and longest run")

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if not 1 <= self.ngrams[0] <= self.ngrams[1] <= 10:  # noqa: PLR2004 - longer ones repeat nowhere
            raise ValueError("`ngrams` are two lengths from 1 to 10, the shorter first")
        return self

    def build(self, context: Context) -> Any:
        """Return skrub's encoder on every column."""
        from skrub import ApplyToCols  # noqa: PLC0415 - two seconds, and only here

        from tasks.tabular.transformers.texts import TextEncoder  # noqa: PLC0415 - imports skrub

        return ApplyToCols(
            TextEncoder(
                self.components,
                analyzer=self.analyzer,
                ngram_range=self.ngrams,
                random_state=context.seed,
            )
        )
