"""What the gateway counts."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_LATENCY_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)


class GatewayMetrics:
    """The gateway's Prometheus collectors, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "millrace_predictions",
            "Prediction requests by model, version and HTTP status.",
            ["model", "version", "status"],
            registry=self.registry,
        )
        self.latency = Histogram(
            "request_processing_seconds",
            "Seconds from a prediction request to its response.",
            ["model", "version"],
            buckets=_LATENCY_BUCKETS,
            registry=self.registry,
        )
        self.hooks = Counter(
            "millrace_webhooks",
            "Webhook deliveries by outcome.",
            ["outcome"],
            registry=self.registry,
        )
        self.routes = Gauge("millrace_routes", "Models that are served.", registry=self.registry)
