"""What the operator counts and times, shown at /metrics for Prometheus; the names mirror vLLM's.

With several web processes each writes its numbers to a file in PROMETHEUS_MULTIPROC_DIR (`plm web` sets it),
and whichever is asked adds them up.
"""

from __future__ import annotations

import os

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    REGISTRY,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
    multiprocess,
)

SECONDS = (0.01, 0.03, 0.1, 0.3, 1, 2, 3, 4.5, 10, 30, 100)

MESSAGES = Counter("plm_messages", "Messages that came in for the first time", ["channel"])
RETRIES = Counter("plm_retries_seen", "Requests for a message that was known already", ["channel"])
DEADLINE_MISSES = Counter("plm_deadline_misses", "Messages whose answer was not finished at the last moment")
LIMITED = Counter("plm_messages_limited", "Messages and API requests over somebody's limit")
STORE_DOWN = Counter("plm_store_down", "Requests that found the store away")
RUNNING = Gauge("plm_num_requests_running", "Answers being written", multiprocess_mode="livesum")
FAILED = Counter("plm_requests_failed", "Messages whose answer was given up")
GENERATED = Counter("plm_generation_bytes", "Bytes of finished answers")
FIRST_TOKEN = Histogram(
    "plm_time_to_first_token_seconds",
    "From taking a message to its answer's first character",
    buckets=SECONDS,
)
LATENCY = Histogram(
    "plm_e2e_request_latency_seconds", "From taking a message to its finished answer", buckets=SECONDS
)


def show() -> tuple[bytes, dict[str, str]]:
    registry = REGISTRY
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        registry = CollectorRegistry()
        multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return generate_latest(registry), {"content-type": CONTENT_TYPE_LATEST}
