"""What is said: commands, cleaning, the bytes the model reads, and cutting."""

from __future__ import annotations

import unicodedata
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.settings.config import Settings
from bot.text import dialogue


@pytest.mark.parametrize(
    ("text", "command"),
    [
        ("/new", "new"), ("新对话", "new"), (" /NEW ", "new"), ("/help", "help"), ("帮助。", "help"),
        ("继续", "more"), ("“继续”", "more"), ("「继续」！", "more"), ("繼續", "more"),
        ("/undo", "undo"), ("撤回", "undo"), ("/more", "more"), ("新對話", "new"), ("幫助", "help"),
        ("/model", "model"), ("模型", "model"), ("/export", "export"), ("导出", "export"),
        ("導出", "export"), ("匯出", "export"), ("/forget", "ask-forget"), ("忘记我", "ask-forget"),
        ("忘記我", "ask-forget"), ("/forget yes", "forget"), ("确认忘记", "forget"), ("確認忘記", "forget"),
        ("/quiet", "quiet"), ("退订", "quiet"), ("退訂", "quiet"), ("TD", "quiet"),
        ("/listen", "listen"), ("订阅", "listen"), ("訂閱", "listen"),
        ("继续说桂枝汤", None), ("请帮助我", None), ("new", None), ("", None),
    ],
)  # fmt: skip
def test_commands_are_whole_messages(text: str, command: str | None) -> None:
    assert dialogue.command(text) == command


def test_questions_are_composed_and_cleaned() -> None:
    assert dialogue.clean_question(" cafe\u0301\x00\x1b[31m\r\n药\ud800 ").text == "café[31m\n药?"
    assert dialogue.clean_question("👩‍⚕️ 𠮷").text == "👩‍⚕️ 𠮷"
    assert dialogue.clean_question("\u200b\x07 \n").text in ("", "\u200b")


def test_a_long_question_is_cut_and_says_so() -> None:
    question = dialogue.clean_question("药" * 20_000)
    assert (len(question.text), question.cut) == (dialogue.MAX_QUESTION, True)
    assert not dialogue.clean_question("药" * dialogue.MAX_QUESTION).cut


@given(st.text())
def test_a_cleaned_question_has_no_marks_and_stays_clean(text: str) -> None:
    question = dialogue.clean_question(text).text
    assert not {0xFD, 0xFE, 0xFF} & set(question.encode())
    assert dialogue.clean_question(question).text == question


def turn(role: str, content: str, message_id: str) -> dict[str, Any]:
    return {"role": role, "content": content, "message_id": message_id}


def test_history_pairs_answers_with_their_questions() -> None:
    turns = [
        turn("user", "一", "m1"), turn("user", "二", "m2"), turn("assistant", "答一", "m1"),
        turn("user", "没有答", "m3"), turn("assistant", "答二", "m2"), turn("user", "四", "m4"),
    ]  # fmt: skip
    expected = "一".encode(), "答一".encode(), "二".encode(), "答二".encode()
    read = dialogue.history(turns, "m4", 1000)
    assert read == b"\xfd%b\xfe%b\xff\xfd%b\xfe%b\xff" % expected


def test_what_was_written_on_belongs_to_the_answer_before() -> None:
    said = [
        ("user", "q1", "1"), ("user", "急", "2"), ("assistant", "a1", "1"), ("assistant", "help", "2"),
        ("user", "继续", "3"), ("user", "q4", "4"), ("assistant", "，a3", "3"), ("assistant", "a4", "4"),
    ]  # fmt: skip
    turns = [{"role": role, "content": text, "message_id": id_} for role, text, id_ in said]
    pairs = [(question, turn["content"]) for question, turn in dialogue.answered(turns, "9")]
    assert pairs == [("q1", "a1"), ("急", "help，a3"), ("q4", "a4")]
    assert dialogue.going_on(turns, "3") == ("急", turns[3])
    assert dialogue.going_on(turns, "1") is None


def test_a_text_that_had_to_stop_ends_with_a_sentence_if_that_is_most_of_it() -> None:
    assert dialogue.cut_short("一句。两句。未") == "一句。两句。"
    assert dialogue.cut_short("一。很长的一句没有说完") == "一。很长的一句没有说完"
    assert dialogue.cut_short("没有句号") == "没有句号"


def test_history_keeps_the_last_whole_turns_that_fit() -> None:
    turns = [t for i in range(9) for t in (turn("user", "问", f"m{i}"), turn("assistant", f"{i}", f"m{i}"))]
    one = len(dialogue.turn_bytes("问", "0"))
    assert dialogue.history(turns, "", 2 * one + 1) == dialogue.turn_bytes("问", "7") + dialogue.turn_bytes(
        "问", "8"
    )
    long = [turn("user", "问", "m0"), turn("assistant", "答" * 90, "m0")]
    assert dialogue.history(long, "", 100) == dialogue.turn_bytes(
        "问", "答" * 31
    )  # its end, rather than nothing
    long = [turn("user", "问" * 90, "m0"), turn("assistant", "答", "m0")]
    assert dialogue.history(long, "", 100) == dialogue.turn_bytes("问" * 31, "答")


def test_the_hash_of_the_turns_knows_order_and_bounds() -> None:
    one = dialogue.chain(dialogue.chain("", "甲", "乙"), "丙", "丁")
    assert one == dialogue.chain(dialogue.chain("", "甲", "乙"), "丙", "丁")
    assert one != dialogue.chain(dialogue.chain("", "丙", "丁"), "甲", "乙")
    assert dialogue.chain("", "甲", "乙丙") != dialogue.chain("", "甲乙", "丙")


def test_the_same_message_gets_the_same_dice() -> None:
    assert dialogue.seed("c", "m") == dialogue.seed("c", "m")
    assert len({dialogue.seed("c", "m"), dialogue.seed("c", "n"), dialogue.seed("d", "m")}) == 3
    assert 0 <= dialogue.seed("c", "m") < 2**63


TEXTS = st.text(alphabet=st.sampled_from(list("药a，。！”\n 𠮷👩\u200d⚕\ufe0f\u0301")), max_size=300)


@given(TEXTS, st.integers(60, 400))
def test_a_piece_fits_and_is_a_beginning_of_the_text(text: str, limit: int) -> None:
    taken = dialogue.cut(text, limit)
    assert taken <= max(limit, 0)
    assert text.encode()[:taken].decode() == text[: len(text.encode()[:taken].decode())]
    assert taken == len(text.encode()) if len(text.encode()) <= limit else True


@given(st.text(alphabet="药，。\n甲", max_size=2000), st.integers(200, 600))
def test_pieces_joined_are_the_answer(answer: str, limit: int) -> None:
    answer = answer.strip()
    told, start, more = "", 0, True
    for _ in range(1000):
        piece = dialogue.piece(answer, start, True, limit)
        assert len(piece.text.encode()) <= limit
        assert piece.start == start
        told += answer.encode()[piece.start : piece.end].decode()
        start, more = piece.end, piece.more
        if not more:
            break
        assert piece.text.endswith(dialogue.MORE_HINT)
    assert not more
    assert told == answer


def test_a_piece_ends_with_a_sentence_and_takes_its_closing_quote() -> None:
    text = "他说：“先煎麻黄。”" * 20
    taken = dialogue.cut(text, 200)
    assert text.encode()[:taken].decode().endswith("。”")
    assert 100 < taken <= 200


def test_a_joined_emoji_is_not_taken_apart() -> None:
    doctor = "👩‍⚕️"
    text = doctor * 40
    for limit in range(100, 140):
        assert text.encode()[: dialogue.cut(text, limit)].decode() == doctor * (limit // len(doctor.encode()))


def test_an_unfinished_answer_is_told_up_to_its_last_sentence() -> None:
    piece = dialogue.piece("桂枝去皮。芍药三", 0, False, 1800)
    assert piece.text == "桂枝去皮。\n" + dialogue.MORE_HINT
    assert dialogue.piece("桂枝去皮。芍药三两。", piece.end, True, 1800).text == "芍药三两。"
    assert dialogue.piece("桂枝", 0, False, 1800).text.startswith("桂枝\n")


def test_when_there_is_nothing_to_tell_it_says_which_nothing() -> None:
    thinking = dialogue.piece("", 0, False, 1800)
    assert (thinking.text, thinking.more) == (dialogue.STILL_THINKING, True)
    over = dialogue.piece("答", 3, True, 1800)
    assert (over.text, over.more) == (dialogue.ALREADY_TOLD, False)


@pytest.mark.parametrize("length", [599, 600, 601, 5000])
def test_replies_with_everything_in_front_stay_in_the_limit(length: int) -> None:
    before = "提示。" * 60 + dialogue.label("问" * 50)
    piece = dialogue.piece("药" * length, 0, True, 1800, before)
    assert len(piece.text.encode()) <= 1800


def test_the_longest_disclaimer_leaves_room_for_the_answer() -> None:
    longest = next(rule.max_length for rule in Settings.model_fields["disclaimer"].metadata)
    before = "𠮷" * longest + "\n\n" + dialogue.QUESTION_CUT + "\n"
    piece = dialogue.piece("药" * 1000, 0, True, 1800, before)
    assert piece.text.count("药") > 100
    assert len(piece.text.encode()) <= 1800


def test_output_is_valid_in_xml_and_harmless_in_terminals() -> None:
    noisy = "".join(map(chr, range(0x20))) + "\x7f\x85\ufffe\uffff" + "药"
    assert dialogue.printable(noisy) == "\t\n药"
    assert all(
        unicodedata.category(c) != "Cc" for c in dialogue.printable(noisy).replace("\t", "").replace("\n", "")
    )
