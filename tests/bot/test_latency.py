"""How long a user waits: 100 questions of 200 bytes, one after the other, all of the service on one core."""

from __future__ import annotations

import os
import shutil
import statistics
import time
from pathlib import Path

import pytest

from tests.service import Service
from tests.wechat_platform import Platform

TOPICS = ["气虚", "血虚", "头痛", "失眠", "咳嗽", "泄泻", "眩晕", "水肿", "胃脘痛", "月经不调"]
ASK = (
    "请问{}的病因病机是什么，常见的证型有哪些，各用什么治法和代表方剂，"
    "平时饮食起居又应当注意些什么？这是第{:03d}次请教，"
)
MORE = "我近来手足不温，夜里睡不安稳，胃口也差"


def question(number: int) -> str:
    """A question of exactly 200 bytes, each another one."""
    text = ASK.format(TOPICS[number % len(TOPICS)], number)
    text += MORE[: (200 - len(text.encode())) // 3]
    return text + "?" * (200 - len(text.encode()))


@pytest.mark.slow
@pytest.mark.skipif(
    not shutil.which("taskset"), reason="taskset is missing: the service cannot be held to one core"
)
def test_answers_on_one_core(tmp_path: Path) -> None:
    core = str(min(os.sched_getaffinity(0)))
    settings = {"PLM_MODEL": "tcm", "PLM_WECHAT_TOKEN": "AAAAA"}
    seconds, size = [], 0
    with Service(tmp_path, "serve", prefix=["taskset", "-c", core], **settings) as serve:
        platform = Platform(serve.url + "/wechat", "AAAAA")
        for number in range(100):
            text = question(number)
            assert len(text.encode()) == 200
            began = time.perf_counter()
            size += len(platform.ask("o-patient", text).encode())
            seconds.append(time.perf_counter() - began)
    median, p95 = statistics.median(seconds), statistics.quantiles(seconds, n=20)[-1]
    print(
        f"\n100 answers of {size // 100} bytes on core {core}: median {median * 1000:.0f} ms, "
        f"p95 {p95 * 1000:.0f} ms, slowest {max(seconds) * 1000:.0f} ms"
    )
    assert median < 1.0
    assert p95 < 2.0
