"""Gaps: a filling costs what the model charges for it and what follows, and the search finds cheap ones."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine import END_MARK, GAP, Model
from engine.likelihood.fill import _ENDS, WINDOW

BEFORE, AFTER = "四物汤：当归、", "、芍药、地黄。治妇人血虚，月水不调，脐腹疼痛。"


@pytest.fixture(scope="module")
def tcm() -> Model:
    return Model.load("tcm")


def cost(model: Model, before: str, filling: str) -> float:
    session = model.session()
    session.feed(before)
    return session.score(filling)


def test_a_filling_costs_its_own_bits_and_those_of_what_follows(model: Model) -> None:
    filled = model.fill(BEFORE + GAP + AFTER, count=8)
    (gap,) = filled.gaps
    assert len(gap) == len({one.text for one in gap}) == 8
    for one in gap:
        assert one.bits == pytest.approx(cost(model, BEFORE, one.text + AFTER[:WINDOW]), rel=1e-12)
    assert [one.bits for one in gap] == sorted(one.bits for one in gap)
    assert filled.text == BEFORE + gap[0].text + AFTER


def test_given_fillings_are_weighed_beside_the_likeliest(model: Model) -> None:
    plain = model.fill(BEFORE + GAP + AFTER, count=2)
    own = plain.gaps[0][0].text
    filled = model.fill(BEFORE + GAP + AFTER, count=2, among=["川芎", own, "川芎"])
    (gap,) = filled.gaps
    assert filled.text == plain.text
    assert sorted(one.text for one in gap) == sorted({*(one.text for one in plain.gaps[0]), "川芎"})
    (given,) = (one for one in gap if one.text == "川芎")
    assert given.bits == pytest.approx(cost(model, BEFORE, "川芎" + AFTER[:WINDOW]), rel=1e-12)
    assert [one.bits for one in gap] == sorted(one.bits for one in gap)


@pytest.mark.parametrize(("text", "among"), [(f"{GAP}、{GAP}", ["川芎"]), (GAP, [""])])
def test_given_fillings_are_of_one_gap_and_not_empty(model: Model, text: str, among: list[str]) -> None:
    with pytest.raises(ValueError, match="one gap alone"):
        model.fill(text, among=among)


def test_what_follows_decides(tcm: Model) -> None:
    """The same words before the gap, the same search: another end wants another filling."""
    first, other = (tcm.fill(f"其脉{GAP}{end}").gaps[0][0] for end in ("者，表寒也。", "无力，气虚也。"))
    assert first.text != other.text
    for one, end, wrong in ((first, "者，表寒也。", other), (other, "无力，气虚也。", first)):
        assert cost(tcm, "其脉", one.text + end) < cost(tcm, "其脉", wrong.text + end)


def test_a_gap_in_a_prescription_is_filled_with_herbs(tcm: Model) -> None:
    texts = [one.text for one in tcm.fill(BEFORE + GAP + AFTER).gaps[0]]
    assert "川芎" in texts
    assert len({len(text) for text in texts}) > 1 or all(len(text) > 1 for text in texts)


def test_no_letter_is_overlooked(model: Model) -> None:
    """All the ASCII letters and digits fit into one round of the search over a single character."""
    best = model.fill(f"问{GAP}答：", count=1, max_characters=1).gaps[0][0].bits
    letters = [chr(c) for c in range(128) if chr(c).isalnum()]
    cheapest = sorted(letters, key=lambda letter: cost(model, "问", letter))[:8]
    assert best <= min(cost(model, "问", letter + "答：") for letter in cheapest) + 1e-9


@pytest.mark.parametrize("text", [f"{BEFORE}{GAP}", f"{GAP}{AFTER}", GAP, f"{BEFORE}____________{AFTER}"])
def test_a_gap_may_stand_anywhere(model: Model, text: str) -> None:
    filled = model.fill(text, count=3)
    assert [len(gap) for gap in filled.gaps] == [3]
    assert "_" not in filled.text


def test_at_the_end_of_a_text_a_filling_may_end_in_any_way(model: Model) -> None:
    (gap,) = model.fill(BEFORE + GAP, count=3).gaps
    for one in gap:
        session = model.session()
        session.feed(BEFORE)
        ways = [bits.sum() for bits in session.bits_each([one.text.encode() + end for end in _ENDS])]
        assert one.bits == pytest.approx(-np.log2(sum(2.0**-bits for bits in ways)))
    assert END_MARK in _ENDS


def test_several_gaps_are_filled_one_after_the_other(tcm: Model) -> None:
    filled = tcm.fill(f"黄芪，味{GAP}，微温，无{GAP}。主痈疽久败疮。")
    assert [len(gap) for gap in filled.gaps] == [5, 5]
    first, second = ([one.text for one in gap] for gap in filled.gaps)
    assert filled.text in {f"黄芪，味{one}，微温，无毒。主痈疽久败疮。" for one in first}
    assert second[0] == "毒"


@settings(max_examples=15)
@given(before=st.text(max_size=6), after=st.text(max_size=6), longest=st.integers(1, 5))
def test_fillings_are_words_of_the_length_asked_for(
    model: Model, before: str, after: str, longest: int
) -> None:
    before, after = (text.replace("_", "").encode("utf-8", "ignore").decode() for text in (before, after))
    filled = model.fill(before + GAP + after, max_characters=longest)
    assert filled.text.startswith(before)
    assert filled.text.endswith(after)
    for one in filled.gaps[0]:
        assert 1 <= len(one.text) <= longest
        assert one.text[0].isalnum()
        assert one.text[-1].isalnum()
        assert not set(one.text) & set("\n\t_")
        assert np.isfinite(one.bits)


def test_a_text_without_a_gap_is_refused(model: Model) -> None:
    with pytest.raises(ValueError, match="the text has no gap: mark it with ____"):
        model.fill("四物汤：___")
    with pytest.raises(ValueError, match="at least one filling"):
        model.fill(GAP, count=0)
