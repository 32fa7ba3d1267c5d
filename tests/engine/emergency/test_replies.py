"""What is said: numbers, language, kinds."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

import engine.emergency
from engine.emergency import Assessment, Level, caution, reply
from engine.emergency.replies import language

FILE = Path(engine.emergency.__file__).parent / "replies.toml"
WORDS = tomllib.loads(FILE.read_text(encoding="utf-8"))
KINDS = [*WORDS["hans"]["act"], "owner", "a kind of the owner's messages"]
TEXTS = {"hans": "我妈喝了农药", "hant": "我媽喝了農藥", "en": "my mother drank pesticide"}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("script", "text"), TEXTS.items())
def test_every_answer_begins_with_help_and_ends_with_what_we_are(script: str, text: str, kind: str) -> None:
    said = reply(Assessment(Level.EMERGENCY, kind, 0.9), text)
    first = said.splitlines()[0]
    assert "120" in first
    assert ("12356" in first) == (kind == "self_harm")
    assert ("110" in first) == (kind in ("self_harm", "violence"))
    assert said.endswith(WORDS[script]["closing"])
    assert len(said) < 1200


@pytest.mark.parametrize(("script", "text"), TEXTS.items())
def test_where_it_may_be_meant_both_numbers_come_first(script: str, text: str) -> None:
    first = reply(Assessment(Level.EMERGENCY, "poisoning", 0.9, self_harm_too=True), text).splitlines()[0]
    assert first.index("120") < first.index("12356"), script


def test_the_languages_have_the_same_answers() -> None:
    for script in ("hant", "en"):
        assert WORDS[script].keys() == WORDS["hans"].keys()
        assert WORDS[script]["act"].keys() == WORDS["hans"]["act"].keys()
        assert WORDS[script]["opening_for"].keys() == WORDS["hans"]["opening_for"].keys()


@pytest.mark.parametrize(("script", "text"), TEXTS.items())
def test_cautions(script: str, text: str) -> None:
    unsure, dose = Assessment(Level.UNCERTAIN, "heart", 0.5), Assessment(Level.TOXIC_DOSE, "poisoning", 0.1)
    assert "120" in caution(unsure, text)
    assert "120" in caution(dose, text)
    assert caution(dose, text).startswith(WORDS[script]["toxic_dose"][:5])
    assert caution(Assessment(Level.NONE, "", 0.0), text) == ""
    assert reply(unsure, text) == reply(dose, text) == ""


@pytest.mark.parametrize(
    ("text", "script"),
    [
        ("救命", "hans"),
        ("help!", "en"),
        ("ICU 里的爸爸", "hans"),
        ("阿媽暈咗，點算", "hant"),
        ("", "hans"),
        ("？？", "hans"),
    ],
)
def test_language_and_script(text: str, script: str) -> None:
    assert language(text) == script
