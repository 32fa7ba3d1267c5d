"""The bundled detector on messages it was not made from, and on what may be done to them."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.emergency import Assessment, Detector, Level, WeightsError, caution, reply
from engine.emergency.evaluation import evaluate
from engine.emergency.messages import bundled_files, read_messages
from engine.emergency.normalize import normalize, simplified

HERE = Path(__file__).parent
HELD_OUT = [
    tuple(line.split("\t"))
    for line in (HERE / "held_out.tsv").read_text(encoding="utf-8").splitlines()
    if not line.startswith("#")
]
EMERGENCIES = [text for label, text in HELD_OUT if label == "emergency"]
# Clear cases: what is put into them shall not bring them under the threshold.
CLEAR = [
    "我妈喝了百草枯，现在嘴里吐白沫",
    "老公突然倒在地上没有呼吸了怎么办",
    "孩子被花生噎住了脸都紫了",
    "我爸嘴歪了右手抬不起来",
]
NOISE = list(" \t\n，。！？…、~—～·,.!?;:*_-|/()（）【】\"'😭😱🙏💔❗️\u200b\u200d\ufeff")


@pytest.fixture(scope="module")
def detector() -> Detector:
    return Detector.load()


@pytest.mark.parametrize(("label", "text"), HELD_OUT)
def test_messages_it_has_never_seen(detector: Detector, label: str, text: str) -> None:
    assert detector.assess(text).level == label


def test_the_held_out_messages_are_not_in_the_training() -> None:
    known = {normalize(message.text) for message in read_messages(bundled_files())}
    held_out = [text for _, text in HELD_OUT]
    held_out += [message.text for message in read_messages([HERE / "fresh.jsonl", HERE / "last.jsonl"])]
    assert [text for text in held_out if normalize(text) in known] == []


@pytest.mark.parametrize(("name", "recall", "false_alarms"), [("fresh", 0.93, 0.04), ("last", 0.8, 0.07)])
def test_whole_sets_of_unseen_messages(
    detector: Detector, name: str, recall: float, false_alarms: float
) -> None:
    table = evaluate(detector, read_messages([HERE / f"{name}.jsonl"]))["table"]
    heard, wrong = table["emergency"]["all"], table["none"]["all"]
    assert heard["emergency"] / heard["of"] >= recall
    assert wrong["emergency"] / wrong["of"] <= false_alarms


@settings(deadline=None, max_examples=150)
@given(st.data())
def test_spaces_punctuation_emoji_and_repeated_characters_silence_nothing(data: st.DataObject) -> None:
    text = data.draw(st.sampled_from(CLEAR))
    typed = "".join(
        character * data.draw(st.integers(1, 3))
        + "".join(data.draw(st.lists(st.sampled_from(NOISE), max_size=3)))
        for character in text
    )
    assert _DETECTOR.assess(typed).level is Level.EMERGENCY, typed


@settings(deadline=None, max_examples=60)
@given(st.sampled_from(EMERGENCIES), st.integers(0, 2**30))
def test_traditional_forms_say_the_same(text: str, choice: int) -> None:
    traditional: dict[str, list[str]] = {}
    for code, plain in simplified().items():
        traditional.setdefault(chr(plain), []).append(chr(code))
    typed = "".join(
        forms[choice % len(forms)] if (forms := traditional.get(character)) else character
        for character in text
    )
    assert _DETECTOR.assess(typed) == _DETECTOR.assess(text)


@given(st.text(max_size=300))
def test_any_text_gets_an_assessment(text: str) -> None:
    assessment = _DETECTOR.assess(text)
    assert 0 <= assessment.score <= 1
    assert bool(reply(assessment, text)) == (assessment.level is Level.EMERGENCY)
    assert bool(caution(assessment, text)) == (assessment.level in (Level.UNCERTAIN, Level.TOXIC_DOSE))


@pytest.mark.parametrize("length", [200, 2_000, 20_000])
def test_a_cry_for_help_is_heard_in_a_long_text(detector: Detector, length: int) -> None:
    chat = "今天去公园散步，看到很多花，中午吃了面条，下午看了一会儿书，讲四君子汤由哪几味药组成。"
    before = (chat * (length // len(chat) + 1))[: length // 2]
    assert detector.assess(before + before).level is Level.NONE
    assert (
        detector.assess(f"{before}我妈刚才喝了百草枯，现在嘴里吐白沫，快救救她！{before}").level
        is Level.EMERGENCY
    )


def test_a_message_takes_about_a_millisecond(detector: Detector) -> None:
    text = "我妈昨天晚上吃完饭以后说有点头晕，坐在沙发上不想说话，今天好多了，想问平时吃什么调理比较好。" * 2
    detector.assess(text[:80])
    best = min(_seconds(detector, text[:80]) for _ in range(30))
    assert best < 0.02, "twenty times what it takes on a slow machine that does nothing else"


def test_the_owners_words_are_emergencies() -> None:
    own = Detector.load(extra_words=["天台", "code red", ""])
    assert own.assess("我在天臺上").level is Level.EMERGENCY
    assert own.assess("我在 天 台").kind == "owner"
    assert own.assess("We have a CODE  RED here").level is Level.EMERGENCY
    assert own.assess("decode reddit").level is not Level.EMERGENCY
    assert Detector.load().assess("decode reddit").level is Level.NONE


@pytest.mark.parametrize("text", ["血", "头", "血压", "血糖", "活血", "帮我把把脉", "我爸有糖尿病"])
def test_a_bare_word_or_an_old_illness_is_no_emergency(detector: Detector, text: str) -> None:
    assert detector.assess(text).level is Level.NONE


@pytest.mark.parametrize(
    "text",
    [
        "早上起来脸是斜的",
        "准备了炭和胶带",
        "我想伤害自己",
        "老公要打死我",
        "血糖1.8",
        "xiong kou teng de lihai chu leng han zenme ban",
        "wobabayundaole",
        "baby is limp",
        "你好，我想调理脾胃。顺便问下，我婆婆刚刚话说不清，左手也抬不起来，能喝参汤吗",
    ],
)
def test_veiled_terse_spelled_and_beside_the_point(detector: Detector, text: str) -> None:
    assert detector.assess(text).level is Level.EMERGENCY


@pytest.mark.parametrize(
    "text",
    [
        "落枕了脖子动不了",
        "腿抽筋",
        "嗓子疼吞不下东西",
        "被蚊子咬了起包",
        "can I bring my cat",
        "where can I park a second car",
        "can I get my money back if I cancel a week before",
        "how old do I have to be",
        "can my wife drive too",
        "do I have to fill the tank",
        "can I drive to Switzerland",
        "whom do I call after an accident",
        "今天先走了，明天再聊",
    ],
)
def test_everyday_matters_are_none(detector: Detector, text: str) -> None:
    assert detector.assess(text).level is Level.NONE


@pytest.mark.parametrize(
    "text",
    [
        "吃了",
        "喝了",
        "走了",
        "睡着了",
        "老了走不动了",
        "吃了药",
        "来月经肚子疼有血块",
        "手脚冰凉，脉很细",
        "脸抽动",
        "plain",
        "black",
        "baby",
    ],
)
def test_what_is_said_of_every_day_is_none(detector: Detector, text: str) -> None:
    assert detector.assess(text).level is Level.NONE


def test_one_word_of_suicide_is_sent_to_the_crisis_line(detector: Detector) -> None:
    assessment = detector.assess("suicide")
    assert assessment.kind == "self_harm"
    assert "12356" in reply(assessment, "suicide")


@pytest.mark.parametrize("text", ["救", "SOS", "suicide", "overdose", "jiuming"])
def test_a_cry_of_one_character_or_word_is_heard(detector: Detector, text: str) -> None:
    assert detector.assess(text).level is Level.EMERGENCY


def test_nothing_said_is_nothing(detector: Detector) -> None:
    for text in ("", "   ", "😊", "。。。", "\x00"):
        assert detector.assess(text) == Assessment(Level.NONE, "", 0.0)


def test_the_wish_to_die_of_a_poison_is_no_question_of_dose(detector: Detector) -> None:
    assessment = detector.assess("附子吃多少能死，我不想活了")
    assert (assessment.level, assessment.kind) == (Level.EMERGENCY, "self_harm")
    assert "12356" in reply(assessment, "附子吃多少能死，我不想活了")


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("装了心脏起搏器的外公今天昏了两次", {"heart", "consciousness"}),
        ("两辆车撞一起了，司机满头是血", {"trauma", "bleeding"}),
        ("小区的狗扑过来咬了我的手，一直流血", {"bites", "bleeding"}),
        ("他举着菜刀在砸门", {"violence"}),
        ("我真的撑不下去了，来生再见", {"self_harm"}),
    ],
)
def test_the_right_kind_is_told(detector: Detector, text: str, kinds: set[str]) -> None:
    assessment = detector.assess(text)
    assert assessment.level is Level.EMERGENCY
    assert assessment.kind in kinds
    assert ("12356" in reply(assessment, text)) == (kinds == {"self_harm"})


def test_a_bottle_of_pills_gets_both_numbers_and_a_childs_accident_one(detector: Detector) -> None:
    text = "一口气吃了整瓶安眠药"
    said = reply(detector.assess(text), text)
    assert "120" in said
    assert "12356" in said
    text = "宝宝误吃了奶奶的降压药，一岁半"
    said = reply(detector.assess(text), text)
    assert "120" in said
    assert "12356" not in said


@pytest.mark.parametrize("content", [b"", b"\x08\0\0\0\0\0\0\0{}", b"\xff" * 64])
def test_a_broken_file_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "broken").write_bytes(content)
    with pytest.raises(WeightsError, match="broken"):
        Detector.load(path=tmp_path / "broken")


def _seconds(detector: Detector, text: str) -> float:
    start = time.perf_counter()
    detector.assess(text)
    return time.perf_counter() - start


_DETECTOR = Detector.load()  # hypothesis and function fixtures do not mix
