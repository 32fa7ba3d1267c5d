"""Words that must never be said, masked in a stream. Pure functions on text."""

from __future__ import annotations

from collections.abc import Iterable


class Censor:
    """Replaces forbidden words in a stream by one ＊ a character, and lets nothing out that could begin one.

    `push` returns what is safe to show after each piece; `flush` the rest, at the end. Where words overlap,
    the one that begins first counts, and of those the longest. Case does not matter. A word with spaces or
    line ends put into it is another word.
    """

    def __init__(self, words: Iterable[str] = ()) -> None:
        self._words = sorted({_folded(word) for word in words if word}, key=len, reverse=True)
        self._held = ""

    def push(self, text: str) -> str:
        return self._read(text, over=False)

    def flush(self) -> str:
        return self._read("", over=True)

    def whole(self, text: str) -> str:
        """A text that is not a stream."""
        return Censor(self._words)._read(text, over=True)

    def _read(self, text: str, over: bool) -> str:
        if not self._words:
            return text
        self._held += text
        folded, place, out = _folded(self._held), 0, []
        while place < len(folded):
            # A longer word that is not finished yet may still come to count in place of a shorter one.
            open_words = not over and any(
                len(word) > len(folded) - place and word.startswith(folded[place:]) for word in self._words
            )
            if open_words:
                break
            word = next((word for word in self._words if folded.startswith(word, place)), "")
            out.append("＊" * len(word) or self._held[place])
            place += len(word) or 1
        self._held = self._held[place:]
        return "".join(out)


def _folded(text: str) -> str:
    """In small letters, as many characters as before."""
    return "".join(low if len(low := c.lower()) == 1 else c for c in text)
