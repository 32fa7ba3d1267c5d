"""The running service does what /openapi.json says: schemathesis makes up requests, right and wrong ones."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, given, settings

import engine
from bot.app import create_app
from bot.inference.local import LocalEngine
from bot.settings.config import Settings
from bot.store.conversations import Store
from tests import small_library
from tests.service import served
from tests.tiny_model import write_talkative_model

# What no schema can say: how fields go together.
RULES = (
    "messages: the last one must be", "top_logprobs: needs", "max_tokens: must be 1", "n: prompts times n",
    " is empty", "the text has no gap", "has more than 8 gaps",
    "a contrast is empty or the statement itself", "book: the library has no source",
    "the library's answers have none", "content: must be a text",
)  # fmt: skip
KEY = "sk-test-0123456789abcdef"


@pytest.fixture(scope="module")
def url(redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    file = write_talkative_model(tmp_path_factory.mktemp("model") / "tiny.safetensors")
    local = LocalEngine(engine.Model.load(file), engine.TopE(), 100)
    store = Store(redis_url)
    library = small_library.write(tmp_path_factory.mktemp("library"))
    with served(
        create_app(
            Settings(redis_url=redis_url, model="tiny", api_keys=f"test:{KEY}", library=str(library.folder)),
            engine=local,
            store=store,
        )
    ) as url:
        yield url
    store.close()


@pytest.fixture(scope="module")
def document(url: str) -> Any:
    return schemathesis.openapi.from_url(url + "/openapi.json")


@pytest.mark.parametrize("mode", list(schemathesis.GenerationMode), ids=lambda mode: mode.value)
def test_every_path_does_as_the_document_says(
    document: Any, url: str, mode: schemathesis.GenerationMode
) -> None:
    """Right requests are answered as written there; of wrong ones none is let in, and none is a fault."""
    asked = 0
    for found in document.get_all_operations():
        operation = found.ok()
        if mode is schemathesis.GenerationMode.NEGATIVE and "requestBody" not in operation.definition.raw:
            continue  # there is nothing in it to get wrong
        with requests.Session() as session:

            @settings(
                max_examples=15, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
            )
            @given(case=operation.as_strategy(generation_mode=mode))
            def check(case: schemathesis.Case) -> None:
                nonlocal asked
                asked += 1
                headers = {"Authorization": f"Bearer {KEY}"}
                response = case.call(base_url=url, headers=headers, timeout=20, session=session)
                if response.status_code != 400 or not any(rule in response.text for rule in RULES):
                    case.validate_response(response, headers=headers)

            check()
    assert asked > 50


def test_the_document_names_the_model_and_every_path_of_v1(url: str) -> None:
    document = requests.get(url + "/openapi.json", timeout=10).json()
    schemas = document["components"]["schemas"]
    assert schemas["ChatRequest"]["properties"]["model"]["enum"] == ["tiny"]
    assert {"/v1/models", "/v1/models/{name}", "/v1/chat/completions", "/v1/completions"} <= set(
        document["paths"]
    )
