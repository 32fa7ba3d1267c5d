"""Ids of messages: unique, and in one test the same in each run.

The id of a message seeds its answer's dice. A test would otherwise meet other answers each time, and once in
some thousand one of a rare form.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import threading
import time
from collections import defaultdict
from collections.abc import Iterator

_lock = threading.Lock()
_counts: dict[str, Iterator[int]] = defaultdict(itertools.count)


def message_number() -> int:
    """An id as WeChat gives them: a 64-bit integer."""
    test = os.environ.get("PYTEST_CURRENT_TEST", f"{os.getpid()} {time.time_ns()}")
    first = int.from_bytes(hashlib.sha256(test.encode()).digest()[:6])
    with _lock:
        return 10**18 + 1024 * first + next(_counts[test])
