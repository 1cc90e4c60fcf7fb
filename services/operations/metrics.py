"""Metrics: counting requests, and writing figures in the text format of Prometheus.

The counts belong to this process, and have the label `process`, so that several processes can be summed.
"""

import os
import socket
from bisect import bisect_left
from collections.abc import Iterable, Mapping

PREFIX = "task_platform"
# Bounds in seconds; a request counts in the first bucket that it does not exceed.
BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

Labels = Mapping[str, str]


class RequestCounts:
    """Counts of answered requests by route and status, and of their durations."""

    def __init__(self) -> None:
        self.answered: dict[tuple[str, str, int], int] = {}
        # For each method and route: the count of each bucket and of longer requests, and the sum of
        # durations.
        self.durations: dict[tuple[str, str], tuple[list[int], list[float]]] = {}

    def add(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count a request. This must be quick, because every request is counted."""
        answered = self.answered
        key = (method, route, status)
        answered[key] = answered.get(key, 0) + 1
        kept = self.durations.get((method, route))
        if kept is None:
            kept = self.durations.setdefault((method, route), ([0] * (len(BUCKETS) + 1), [0.0]))
        kept[0][bisect_left(BUCKETS, seconds)] += 1
        kept[1][0] += seconds


requests = RequestCounts()


def process_name() -> str:
    """The name of this process, which differs from all others."""
    return f"{socket.gethostname()}:{os.getpid()}"


class Page:
    """The text for Prometheus, one figure after the other."""

    def __init__(self) -> None:
        self._lines: list[str] = []

    def add(self, name: str, kind: str, text: str, values: Iterable[tuple[Labels, float]]) -> None:
        """Add a counter or gauge with its values and their labels."""
        self._begin(name, kind, text)
        for labels, value in values:
            self._line(name, labels, value)

    def add_requests(self, counts: RequestCounts) -> None:
        """Add the requests of this process with their durations."""
        own = {"process": process_name()}
        self.add(
            "http_requests_total",
            "counter",
            "Answered requests, by the template of their route.",
            [
                ({"method": method, "route": route, "status": str(status), **own}, count)
                for (method, route, status), count in sorted(counts.answered.items())
            ],
        )
        name = "http_request_duration_seconds"
        self._begin(
            name, "histogram", "Time from the first byte of a request to the last byte of its answer."
        )
        for (method, route), (buckets, total) in sorted(counts.durations.items()):
            labels, count = {"method": method, "route": route, **own}, 0
            for limit, more in zip((*BUCKETS, "+Inf"), buckets, strict=True):
                count += more
                self._line(f"{name}_bucket", {**labels, "le": str(limit)}, count)
            self._line(f"{name}_sum", labels, total[0])
            self._line(f"{name}_count", labels, count)

    def text(self) -> str:
        """The whole text."""
        return "\n".join(self._lines) + "\n"

    def _begin(self, name: str, kind: str, text: str) -> None:
        self._lines += [f"# HELP {PREFIX}_{name} {text}", f"# TYPE {PREFIX}_{name} {kind}"]

    def _line(self, name: str, labels: Labels, value: float) -> None:
        written = ",".join(f'{key}="{_escaped(label)}"' for key, label in labels.items())
        self._lines.append(f"{PREFIX}_{name}{{{written}}} {value}" if written else f"{PREFIX}_{name} {value}")


def _escaped(label: str) -> str:
    return label.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
