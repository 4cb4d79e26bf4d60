"""What the aggregator counts, by the names that dashboards and alerts use."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_BUCKETS = (0.002, 0.004, 0.006, 0.01, 0.015, 0.02, 0.03, 0.04, 0.06, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 300)


class Metrics:
    """One set per process, on a registry of its own so that tests do not share figures."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.freshness = Histogram(
            "fleetpedia_freshness_seconds",
            "From the agent's reading of an object to the commit that makes it visible.",
            buckets=_BUCKETS,
            registry=self.registry,
        )
        self.rows_written = self._counter("fleetpedia_rows_written_total", "Rows added, changed, deleted.", "cluster")
        self.object_bytes = self._counter(
            "fleetpedia_object_bytes_received_total", "Bytes of compressed bodies in batches.", "cluster"
        )
        self.noops = self._counter("fleetpedia_noop_deltas_total", "Deltas that said what was stored.", "cluster")
        self.batches = self._counter("fleetpedia_batches_total", "Batches by outcome.", "outcome")
        self.resyncs = self._counter(
            "fleetpedia_resync_total", "What made an agent compare or resend.", "cluster", "reason"
        )
        self.digest_mismatches = self._counter(
            "fleetpedia_digest_mismatch_total", "Comparisons that found differing buckets.", "cluster", "type"
        )
        self.rejected = self._counter("fleetpedia_rejected_objects_total", "Objects set aside.", "cluster", "reason")
        self.scrubbed = self._counter(
            "fleetpedia_scrub_differences_total", "Stored rows that do not follow from their body.", "cluster", "type"
        )
        self.cluster_stale = Gauge(
            "fleetpedia_cluster_stale",
            "1 while the member has not answered for --stale-after.",
            ["cluster"],
            registry=self.registry,
        )
        self.type_lag = Gauge(
            "fleetpedia_type_lag_seconds",
            "Since the type was last known to be current.",
            ["cluster", "type"],
            registry=self.registry,
        )
        self.batches_waiting = Gauge(
            "fleetpedia_batches_waiting", "Batches that wait for a writer.", registry=self.registry
        )

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(name, text, labels, registry=self.registry)

    def forget(self, cluster: str) -> None:
        """Drop the figures of a cluster that is removed."""
        labelled = (
            self.rows_written,
            self.object_bytes,
            self.noops,
            self.resyncs,
            self.digest_mismatches,
            self.rejected,
            self.scrubbed,
            self.cluster_stale,
            self.type_lag,
        )
        for metric in labelled:
            metric.remove_by_labels({"cluster": cluster})
