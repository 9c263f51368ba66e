"""What the server counts, for Prometheus."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

NO_CODE = "none"

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_IMAGES = (1, 2, 4, 8, 16, 32, 64, 128)


class Metrics:
    """All metrics of one server, in a registry of its own.

    Attributes:
        requests: by path and status code; the code is `none` for those that the end cut off.
        seconds: from a request's first byte to the answer's last, by path.
        in_flight: requests being answered.
        images: `answered`, or the reason why one cannot be read.
        batches: images per batch.
        queued: images checked and waiting for the model.
        version: the version that is served, 0 before there is one.
        reloads: versions loaded.
        failed_reloads: versions that could not be loaded; each attempt counts.
        refusals: requests that got an error, by reason.
        unseen: answers that a listener was too slow for, or failed on.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        count, measure = self._counter, self._gauge
        self.requests = count("covers_requests", "Requests.", "path", "code")
        self.seconds = Histogram(
            "covers_request_seconds",
            "Time to answer a request.",
            ["path"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.in_flight = measure("covers_requests_in_flight", "Requests being answered.")
        self.images = count("covers_images", "Images, by what became of them.", "outcome")
        self.batches = Histogram(
            "covers_batch_images", "Images per batch.", buckets=_IMAGES, registry=self.registry
        )
        self.queued = measure("covers_queue_images", "Images waiting for the model.")
        self.version = measure("covers_model_version", "Version of the model that is served.")
        self.reloads = count("covers_reloads", "Versions loaded.")
        self.failed_reloads = count("covers_failed_reloads", "Attempts to load that failed.")
        self.refusals = count("covers_refusals", "Requests refused.", "reason")
        self.unseen = count("covers_unseen_answers", "Answers that no listener took.")

    def _counter(self, name: str, help_text: str, *labels: str) -> Counter:
        return Counter(name, help_text, labels, registry=self.registry)

    def _gauge(self, name: str, help_text: str) -> Gauge:
        return Gauge(name, help_text, registry=self.registry)

    @property
    def busy(self) -> int:
        """How many requests are in flight."""
        return int(self.registry.get_sample_value("covers_requests_in_flight") or 0)

    @property
    def cut_off(self) -> int:
        """How many requests ended without an answer."""
        return int(
            sum(
                sample.value
                for metric in self.requests.collect()
                for sample in metric.samples
                if sample.labels["code"] == NO_CODE and sample.name.endswith("_total")
            )
        )

    def text(self) -> bytes:
        """Returns all values in Prometheus' text format."""
        return generate_latest(self.registry)
