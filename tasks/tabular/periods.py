"""Parts of dates that come round again."""

from __future__ import annotations

PERIODS = {
    "quarter": (1, 4.0),
    "month": (1, 12.0),
    "week": (1, 52.1775),
    "day": (1, 31.0),
    "dayofweek": (0, 7.0),
    "dayofyear": (1, 365.2425),
    "hour": (0, 24.0),
    "minute": (0, 60.0),
    "second": (0, 60.0),
}
"""Where a part begins to count and after how many it comes round again."""
