"""Talks in which each question is asked after the ones before and their answers."""

from __future__ import annotations

from engine.grounding import Answer, Answerer


def last_of(answerer: Answerer, *questions: str) -> Answer:
    """The answer to the last of the questions that one person asked."""
    history: list[dict[str, str]] = []
    for question in questions:
        answer = answerer.answer(question, history)
        history += [{"role": "user", "content": question}, {"role": "assistant", "content": answer.text}]
    return answer
