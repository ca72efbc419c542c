"""What a model server counts, for Prometheus."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

if TYPE_CHECKING:
    from journal import Journal

_BUCKETS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0)


class ServerMetrics:
    """Requests, rows, errors and seconds of one model version, in a registry of their own."""

    def __init__(self, model: str, version: int) -> None:
        self.registry = CollectorRegistry()
        self._labels = (model, str(version))
        names = ["model", "version"]
        seconds = Histogram(
            "request_processing_seconds",
            "Seconds from a whole prediction request to its answer.",
            names,
            buckets=_BUCKETS,
            registry=self.registry,
        )
        requests = Counter(
            "predictions_requests",
            "Prediction requests by HTTP status.",
            [*names, "status"],
            registry=self.registry,
        )
        rows = Counter("predictions_rows", "Rows answered.", names, registry=self.registry)
        errors = Counter(
            "predictions_errors",
            "Prediction requests that were not answered, by HTTP status.",
            [*names, "status"],
            registry=self.registry,
        )
        self._requests, self._errors = requests, errors
        self._answered = requests.labels(*self._labels, "200")
        self._rows = rows.labels(*self._labels)
        self._seconds = seconds.labels(*self._labels)
        self._held = Gauge(
            "prediction_log_held_records",
            "Records of the prediction log that wait for the disk: above zero it falls behind.",
            registry=self.registry,
        )
        self._written = Gauge(
            "prediction_log_records", "Records written since the start.", registry=self.registry
        )

    def answered(self, rows: int, seconds: float) -> None:
        """Count an answer."""
        self._answered.inc()
        self._rows.inc(rows)
        self._seconds.observe(seconds)

    def refused(self, status: int, seconds: float) -> None:
        """Count a request that was not answered."""
        self._requests.labels(*self._labels, str(status)).inc()
        self._errors.labels(*self._labels, str(status)).inc()
        self._seconds.observe(seconds)

    def exposed(self, journal: Journal | None) -> Any:
        """Return all of it in Prometheus' text format."""
        if journal is not None:
            self._held.set(journal.held)
            self._written.set(journal.records)
        return generate_latest(self.registry)
