"""The measures of the sampler study, on texts whose figures can be counted by hand."""

from __future__ import annotations

import numpy as np
import pytest

from tests.bench.studies.text_measures import Distinct, Places, bare, jackknife, loops, repeated


def test_distinct_is_the_plain_share_where_all_are_drawn() -> None:
    measured = Distinct(["aab", "ab"], 1, np.array([0, 1]))
    assert measured.share(5) == pytest.approx(2 / 5)
    assert measured.share(3, without=1) == pytest.approx(2 / 3)
    assert measured.smallest == 2


def test_distinct_does_not_depend_on_how_much_was_written() -> None:
    generator = np.random.default_rng(0)
    short, long = ("".join(map(chr, generator.integers(65, 165, size))) for size in (400, 8000))
    one, other = (Distinct([text], 1, np.array([0])) for text in (short, long))
    assert one.share(200) == pytest.approx(other.share(200), rel=0.05)
    assert one.share(400) > 5 * other.share(8000)


def test_distinct_expects_what_draws_give() -> None:
    text = "甲乙丙甲乙甲甲丁戊己" * 20 + "庚辛壬癸"
    generator = np.random.default_rng(0)
    drawn = [len(set(generator.choice(list(text), 30, replace=False))) for _ in range(4000)]
    assert Distinct([text], 1, np.array([0])).share(30) == pytest.approx(np.mean(drawn) / 30, rel=0.02)


@pytest.mark.parametrize("text", ["气虚者，气虚者，气虚者，", "补气补气补气", "……哈哈哈哈哈哈", "ab" * 40])
def test_loops(text: str) -> None:
    assert loops("前文" + text + "后文")


@pytest.mark.parametrize("text", ["", "气虚者，气虚者，", "哈哈哈", "渐渐、渐渐", "一钱，二钱，三钱，"])
def test_no_loops(text: str) -> None:
    assert not loops(text)


def test_repeated_counts_the_second_time_only() -> None:
    assert repeated("甲乙丙丁甲乙丙丁") == (1, 5)
    assert repeated("甲乙丙") == (0, 0)


def test_known_is_known_from_another_document() -> None:
    places = Places({"a": "甲乙丙丁 戊", "b": "甲乙丙丁", "c": "子丑寅卯"})
    assert places.known("甲乙丙丁", "c") == 1
    assert places.known("甲乙丙丁", "b") == 1  # a has it as well
    assert places.known("子丑寅卯", "c") == 0
    assert places.known(bare("乙丙 丁戊"), "b") == 1


def test_jackknife_of_a_mean_is_its_standard_error() -> None:
    values = np.random.default_rng(0).normal(size=30)
    without = (values.sum() - values) / 29
    assert jackknife(without) == pytest.approx(values.std(ddof=1) / np.sqrt(30))
