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
from prometheus_client.samples import Sample

SECONDS = (0.01, 0.03, 0.1, 0.3, 1, 2, 3, 4.5, 10, 30, 100)

MESSAGES = Counter("plm_messages", "Messages received for the first time", ["channel"])
RETRIES = Counter("plm_retries_seen", "Requests for a message that was known already", ["channel"])
DEADLINE_MISSES = Counter("plm_deadline_misses", "Messages whose answer was not finished at the last moment")
LIMITED = Counter("plm_messages_limited", "Messages and API requests over somebody's limit")
DUPLICATES = Counter(
    "plm_duplicates_dropped", "Requests for a message that was answered already", ["channel"]
)
REQUESTS = Counter("plm_http_requests", "Requests by the path of their view", ["path", "method", "status"])
BLOCKED = Counter("plm_messages_blocked", "Messages of people whom an administrator has blocked")
EMERGENCIES = Counter(
    "plm_emergencies", "Messages that were heard as an emergency, or got a word of caution", ["level", "kind"]
)
STORE_DOWN = Counter("plm_store_down", "Requests that found the store away")
RUNNING = Gauge("plm_num_requests_running", "Answers being written", multiprocess_mode="livesum")
FAILED = Counter("plm_requests_failed", "Messages whose answer failed")
PROMPT = Counter("plm_prompt_tokens", "Bytes read before answers (a token is a byte)")
GENERATED = Counter("plm_generation_tokens", "Bytes of answers (a token is a byte)")
LIBRARY_ANSWERS = Counter(
    "plm_library_answers", "Questions to the library, by what came of it: quoted, abstained, smalltalk …",
    ["outcome"],
)  # fmt: skip
SEARCH = Histogram("plm_library_seconds", "From a question to the library's answer", buckets=SECONDS)
QUEUE = Histogram("plm_request_queue_time_seconds", "From a message's arrival to its lease", buckets=SECONDS)
BETWEEN = Histogram(
    "plm_inter_token_latency_seconds",
    "Seconds from byte to byte, the mean of one answer",
    buckets=(1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 0.01, 0.03, 0.1),
)
TASKS_DONE = Counter("plm_tasks_done", "Tasks done", ["task"])
TASKS_FAILED = Counter("plm_tasks_failed", "Failed tries of tasks", ["task"])
PUSHES = Counter("plm_pushes", "Customer-service messages sent, by what came of it", ["outcome"])
PUSHES_LEFT = Histogram(
    "plm_pushes_left",
    "Customer-service messages that a user can still be sent, after each",
    buckets=(0, 1, 2, 3, 4, 5),
)
BROADCAST = Counter("plm_broadcast_messages", "Users whom a broadcast was meant for, by outcome", ["outcome"])
TASKS = Gauge(
    "plm_tasks", "Tasks by queue and state: waiting (or being done), delayed, dead", ["lane", "state"],
    multiprocess_mode="mostrecent",
)  # fmt: skip
FIRST_TOKEN = Histogram(
    "plm_time_to_first_token_seconds",
    "From a message's lease to its answer's first character",
    buckets=SECONDS,
)
LATENCY = Histogram(
    "plm_e2e_request_latency_seconds", "From a message's lease to its finished answer", buckets=SECONDS
)


def observe_writing(began: float, first: float, ended: float, size: int) -> None:
    """One text of `size` bytes: begun, its first character there, ended (time.monotonic())."""
    if size > 1 and first > began:
        FIRST_TOKEN.observe(first - began)
        BETWEEN.observe((ended - first) / (size - 1))


def note_tasks(counts: dict[str, dict[str, int]]) -> None:
    """How many tasks of each queue are in each state, in all processes."""
    for queue, states in counts.items():
        for state, count in states.items():
            TASKS.labels(queue, state).set(count)


def totals() -> dict[str, float]:
    """What this process has counted so far, for the numbers by the minute; "le:SECONDS" are the latencies."""
    counters = {
        "messages": MESSAGES, "retries": RETRIES, "failed": FAILED, "limited": LIMITED, "blocked": BLOCKED,
        "store_down": STORE_DOWN, "deadline_misses": DEADLINE_MISSES, "generated": GENERATED,
    }  # fmt: skip
    found = {name: _sum(counter) for name, counter in counters.items()}
    found["emergencies"] = sum(
        sample.value
        for sample in _samples(EMERGENCIES)
        if sample.name.endswith("_total") and sample.labels["level"] == "emergency"
    )
    for sample in _samples(LATENCY):
        if sample.name.endswith("_bucket"):
            found[f"le:{sample.labels['le']}"] = sample.value
        elif sample.name.endswith("_count"):
            found["answers"] = sample.value
    for sample in _samples(REQUESTS):
        if sample.name.endswith("_total"):
            found["requests"] = found.get("requests", 0.0) + sample.value
            if sample.labels["status"].startswith("5"):
                found["errors"] = found.get("errors", 0.0) + sample.value
    return found


def running() -> int:
    """Answers that this process is writing."""
    return int(_sum(RUNNING))


def _sum(metric: Counter | Gauge) -> float:
    return sum(sample.value for sample in _samples(metric) if not sample.name.endswith("_created"))


def _samples(metric: Counter | Gauge | Histogram) -> list[Sample]:
    return [sample for family in metric.collect() for sample in family.samples]


def show() -> tuple[bytes, dict[str, str]]:
    registry = REGISTRY
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        registry = CollectorRegistry()
        multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return generate_latest(registry), {"content-type": CONTENT_TYPE_LATEST}
