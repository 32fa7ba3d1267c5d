"""The rule by which the sampler study chooses, and the batch in which it writes."""

from __future__ import annotations

from itertools import takewhile

import numpy as np

from engine import ASSISTANT_MARK, CHAT, END_MARK, USER_MARK, Greedy, Model, TopE
from tests.bench.studies.sampler_study_data import MOST, Prompt, answer
from tests.bench.studies.study_samplers import DECIDING, GROUPS, MEASURES, as_code, choose


def made_up(distances: list[float], noise: float) -> np.ndarray:
    """Figures of the real answers, and of samplers so far from them in all measures."""
    values = np.zeros((1 + len(distances), 1 + GROUPS, len(MEASURES)))
    values[1:] = np.array(distances)[:, None, None]
    values[1:, 1:] += np.random.default_rng(0).normal(size=(len(distances), GROUPS, 1)) * noise
    return values


def test_the_nearest_is_chosen_and_the_median_sampler_is_the_unit() -> None:
    chosen, scores, _ = choose(made_up([0.8, 0.2, -0.4], 1e-6), today=0, count=200)
    assert chosen == 1
    np.testing.assert_allclose(scores, [2, 0.5, 1])


def test_today_stays_where_only_chance_is_between() -> None:
    assert choose(made_up([0.21, 0.2, 0.4], 0.05), today=0, count=200)[0] == 0
    assert choose(made_up([0.21, 0.2, 0.4], 1e-6), today=0, count=200)[0] == 1


def test_a_measure_in_which_all_are_alike_decides_nothing() -> None:
    values = made_up([0.8, 0.2, 0.5], 1e-3)
    column = list(MEASURES).index("loops")
    values[:, :, column] = 0
    assert choose(values, today=0, count=200)[0] == 1
    values[1:, 1:, column] = np.random.default_rng(1).normal(size=(3, GROUPS)) / 100  # nothing but noise
    values[2, 0, column] = 0.005
    assert choose(values, today=0, count=200)[0] == 1


def test_a_single_loop_among_samplers_without_any_is_a_small_fault() -> None:
    values = made_up([0.8, 0.2, 0.5], 1e-3)
    column = list(MEASURES).index("loops")
    values[:, :, column] = 0
    values[2, 0, column] = 1 / 200
    chosen, scores, _ = choose(values, today=0, count=200)
    assert chosen == 1
    assert scores[1] < 0.5


def test_what_does_not_decide_does_not_count() -> None:
    values = made_up([0.8, 0.2], 1e-6)
    ignored = [i for i, name in enumerate(MEASURES) if name not in DECIDING]
    values[2, :, ignored] = 100
    assert choose(values, today=0, count=200)[0] == 1


def test_a_sampler_is_printed_as_python() -> None:
    assert eval(as_code(CHAT)) == CHAT
    assert as_code(TopE()) == "TopE()"
    assert as_code(TopE(factor=0.5, repetition_penalty=1.3)) == "TopE(repetition_penalty=1.3, factor=0.5)"


def test_the_batch_writes_what_a_session_writes_alone() -> None:
    model = Model.load("tcm")
    questions = ["何谓阴阳？", "四君子汤由哪些药组成？"]
    asked = [
        Prompt("book", USER_MARK + question.encode() + ASSISTANT_MARK, END_MARK[0], "", "")
        for question in questions
    ]
    opening = Prompt("opening", "凡治中风，".encode(), ord("\n"), "", "")
    for sampler in (TopE(temperature=0.7), Greedy()):
        found = answer(model, [*asked, opening], sampler, seed=5)
        for number, (prompt, one) in enumerate(zip([*asked, opening], found, strict=True)):
            session = model.session()
            session.feed(prompt.data)
            alone = session.generate(MOST, sampler, seed=5 + number)
            if prompt.kind == "opening":
                assert one.text == "".join(takewhile(lambda char: char != "\n", alone))
            else:
                assert (one.text, one.ended) == ("".join(alone), session.stop_reason == "end")
