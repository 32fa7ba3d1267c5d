"""What all tests share: a skip for missing hardware or programs can be forbidden; which tests are slow; which
run while no other process of the same run does."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Generator, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from hypothesis import settings

# A busy machine is slow now and then; hypothesis would call that a failure.
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")

# What `make test-fast` leaves out, beside tests that are marked one by one: modules, folders, and tests that
# need a browser.
SLOW_MODULES = (
    "tests/bench/studies",
    "tests/bot/admin/test_broadcasts.py",
    "tests/bot/admin/test_library.py",
    "tests/bot/admin/test_page.py",
    "tests/bot/api/test_completions.py",
    "tests/bot/api/test_openapi.py",
    "tests/bot/channels/test_webhook.py",
    "tests/bot/channels/wechat/test_deadline.py",
    "tests/bot/channels/wechat/test_memory.py",
    "tests/bot/channels/wechat/test_messages.py",
    "tests/bot/channels/wechat/test_messenger.py",
    "tests/bot/cli/test_plm.py",
    "tests/bot/server",
    "tests/bot/server/test_embedded_store.py",
    "tests/bot/telemetry/test_logs.py",
    "tests/bot/test_faults.py",
    "tests/bot/test_fuzz.py",
    "tests/bot/test_latency.py",
    "tests/bot/test_security.py",
    "tests/bot/test_soak.py",
    "tests/deploy/test_chart.py",
    "tests/deploy/test_envoy.py",
    "tests/cpu_vnni",
    "tests/cuda",
    "tests/engine/cli/test_train.py",
    "tests/engine/emergency",
    "tests/engine/inference/test_batcher.py",
    "tests/engine/inference/test_batcher_fuzz.py",
    "tests/engine/inference/test_session.py",
    "tests/engine/inference/test_step.py",
    "tests/engine/library/test_bundled_books.py",
    "tests/engine/library/test_documents.py",
    "tests/engine/library/test_search.py",
    "tests/engine/likelihood/test_fill.py",
    "tests/engine/model/test_wygpt.py",
    "tests/engine/test_bundled.py",
    "tests/engine/test_native_sanitizers.py",
    "tests/engine/training/test_architectures.py",
    "tests/engine/training/test_rehearsal.py",
    "tests/engine/training/test_run.py",
    "tests/engine/training/test_torch_twin.py",
    "tests/test_setup.py",
)
SLOW_FIXTURES = {"browser", "driver"}
# Where several processes share the tests, each takes the next module of these, then of the others: first
# those with tests that are to be alone, next some of short tests (who is to be alone waits for the others'
# tests to end), then the longest.
FIRST_MODULES = (
    "tests/bot/test_soak.py",
    "tests/bot/test_faults.py",
    "tests/bot/channels/wechat/test_messenger.py",
    "tests/bot/store/test_cluster.py",
    "tests/bot/store/test_conversations.py",
    "tests/bot/test_app.py",
    "tests/bot/channels/test_webhook.py",
    "tests/bot/cli/test_plm.py",
    "tests/bot/chat/test_erasure.py",
    "tests/bot/admin/test_broadcasts.py",
    "tests/engine/test_native_sanitizers.py",
    "tests/cuda/test_sanitizers.py",
    "tests/cuda/test_nvcc.py",
    "tests/engine/library/test_bundled_books.py",
    "tests/deploy/test_envoy.py",
    "tests/bot/channels/wechat/test_deadline.py",
    "tests/cuda/test_training.py",
    "tests/cuda/test_inference.py",
    "tests/engine/inference/test_step.py",
    "tests/bot/test_latency.py",
)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if hasattr(config, "workerinput"):
        ranks = {module: rank for rank, module in enumerate(FIRST_MODULES)}
        items.sort(key=lambda item: ranks.get(item.nodeid.split("::")[0], len(ranks)))
    if os.environ.get("PLM_CUDA_BUILD"):  # tests/cuda/test_sanitizers.py runs the others there, not itself
        return
    for item in items:
        module = item.nodeid.split("::")[0]
        in_slow_module = any(module == slow or module.startswith(f"{slow}/") for slow in SLOW_MODULES)
        if in_slow_module or SLOW_FIXTURES & set(getattr(item, "fixturenames", ())):
            item.add_marker("slow")


def forbidden_skips() -> list[str]:
    """`PLM_REQUIRE=cuda,redis` names what this machine is known to have."""
    return [word.strip().lower() for word in os.environ.get("PLM_REQUIRE", "").split(",") if word.strip()]


def pytest_report_header() -> str | None:
    words = forbidden_skips()
    return f"required here, so never skipped: {', '.join(words)}" if words else None


@contextmanager
def locked(path: Path, how: int) -> Iterator[None]:
    file = os.open(path, os.O_RDONLY)
    fcntl.flock(file, how)
    try:
        yield
    finally:
        fcntl.flock(file, fcntl.LOCK_UN)  # closing does not unlock while a forked child has it open
        os.close(file)


@pytest.hookimpl(wrapper=True, tryfirst=True)  # before pytest-timeout begins to count
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """A test marked `alone` waits for those that run in other processes, and they for it."""
    if not hasattr(item.config, "workerinput"):
        return (yield)
    room = Path(__file__)
    how = fcntl.LOCK_EX if item.get_closest_marker("alone") else fcntl.LOCK_SH
    with ExitStack() as held:
        with locked(room.parent, fcntl.LOCK_EX):  # who waits to be alone keeps it: nobody comes in before
            held.enter_context(locked(room, how))
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turns a skip whose reason names something required into a failure."""
    report = yield
    if report.skipped and isinstance(report.longrepr, tuple):
        reason = report.longrepr[2]
        missing = [word for word in forbidden_skips() if word in reason.lower()]
        if missing:
            report.outcome = "failed"
            report.longrepr = f"PLM_REQUIRE names {', '.join(missing)}, yet this was to be skipped: {reason}"
    return report
