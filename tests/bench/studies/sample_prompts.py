"""What `make samples` asks: for each model, in turn what a person says, or the opening of a text."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class SamplePrompt:
    """`said` are the turns of a person, each answered before the next; an opening is a text to go on with."""

    said: tuple[str, ...]
    opening: bool = False


def _talk(*said: str) -> SamplePrompt:
    return SamplePrompt(said)


def _opening(text: str) -> SamplePrompt:
    return SamplePrompt((text,), True)


PROMPTS: dict[str, list[SamplePrompt]] = {
    "tcm": [
        _talk("桂枝汤由哪些药组成？"),
        _talk("六味地黄丸主治什么？"),
        _talk("请介绍四君子汤。"),
        _talk("小柴胡汤怎么用？"),
        _talk("黄芪有什么功效？"),
        _talk("当归的性味归经是什么？"),
        _talk("《神农本草经》怎样记载人参？"),
        _talk("什么是阴阳？"),
        _talk("《黄帝内经》怎样论述四时养生？"),
        _talk("太阳病的提纲是什么？"),
        _talk("何谓“营卫不和”？"),
        _talk("医生你好，我最近失眠多梦，心慌，舌淡，是怎么回事？"),
        _talk("孩子咳嗽三天了，有黄痰，应该吃什么药？"),
        _talk("高血压病人平时饮食要注意什么？"),
        _talk("阿莫西林和中药可以一起吃吗？"),
        _talk("我胃痛。", "饭后更厉害，还反酸。", "可以喝什么汤药？"),
        _talk("白术是什么？", "它和苍术有什么区别？"),
        _talk("请用 Python 写一个排序算法。"),
        _talk("What is the capital of France?"),
        _opening("凡治中风，先辨"),
    ],
    "zh": [
        _opening("第一条 为了保护"),
        _opening("却说那行者"),
        _opening("春风又绿江南岸，"),
        _opening("北京是"),
    ],
    "pubmed": [
        _opening("BACKGROUND: "),
        _opening("The aim of this study was to"),
        _opening("Patients were randomly assigned to"),
        _opening("In conclusion, "),
    ],
}
