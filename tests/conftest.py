"""What all tests share: a skip for missing hardware or programs can be forbidden."""

from __future__ import annotations

import os
from collections.abc import Generator

import pytest
from hypothesis import settings

# A busy machine is slow now and then; hypothesis would call that a failure.
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")


def forbidden_skips() -> list[str]:
    """`PLM_REQUIRE=cuda,redis` names what this machine is known to have."""
    return [word.strip().lower() for word in os.environ.get("PLM_REQUIRE", "").split(",") if word.strip()]


def pytest_report_header() -> str | None:
    words = forbidden_skips()
    return f"required here, so never skipped: {', '.join(words)}" if words else None


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
