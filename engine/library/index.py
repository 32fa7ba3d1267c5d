"""The search index: tantivy over the tokens of cutting.py. Only this module knows tantivy.

A document is a passage: its number, its source's number, fields of tokens (title, heading, text, questions)
without positions, and the keys of its own heading. No text is kept, so none can be read out of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import tantivy

from engine.library.cutting import token_text

FIELDS = ("title", "heading", "text", "questions")  # the last: wordings of question-answer pairs
WRITER_MEMORY = 60_000_000  # bytes before a segment is written; tantivy takes no less than 15 MB


@dataclass(frozen=True)
class Terms:
    """What a query asks of the index, made by query.py: weights of tokens by field, and of whole headings.

    `headings` weighs passages whose own heading has just this key (cutting.heading_key).
    """

    fields: Mapping[str, Mapping[str, float]]
    headings: Mapping[str, float]

    def __bool__(self) -> bool:
        return bool(self.headings) or any(self.fields.values())


def _schema() -> tantivy.Schema:
    builder = tantivy.SchemaBuilder()
    builder.add_unsigned_field("id", stored=False, indexed=True, fast=True)
    builder.add_unsigned_field("source", stored=False, indexed=True, fast=True)
    for field in FIELDS:
        builder.add_text_field(field, tokenizer_name="whitespace", index_option="freq")
    builder.add_text_field("key", tokenizer_name="whitespace", index_option="basic")
    return builder.build()


SCHEMA = _schema()


class IndexReader:
    """Searches what was last committed when it was opened or refreshed."""

    def __init__(self, folder: Path) -> None:
        self._index = tantivy.Index.open(str(folder))
        self._index.config_reader("manual")
        self.refresh()

    def refresh(self) -> None:
        self._index.reload()
        self._searcher = self._index.searcher()

    @property
    def documents(self) -> int:
        return self._searcher.num_docs

    def frequency(self, token: str, field: str = "text") -> int:
        """How many passages hold a token; a removed source counts until its segment is rewritten."""
        return self._searcher.doc_freq(field, token)

    def together(self, sets: Iterable[Sequence[str]], never: Iterable[int] = ()) -> list[int]:
        """How many passages hold all tokens of each set in their text, but those of the sources `never`."""
        banned = list(never)
        out = []
        for tokens in sets:
            parts = [(tantivy.Occur.Must, _term("text", token, "freq")) for token in tokens]
            parts += [(tantivy.Occur.MustNot, _sources(banned))] if banned else []
            result = self._searcher.search(tantivy.Query.boolean_query(parts), 1)
            out.append(int(result.count))  # type: ignore[attr-defined]  # tantivy's stub forgets it
        return out

    def search(
        self, terms: Terms, limit: int, only: Iterable[int] | None = None, never: Iterable[int] = ()
    ) -> list[tuple[int, float]]:
        """Numbers and scores of the best passages, of the sources `only`, of none of `never`."""
        parts = [
            (tantivy.Occur.Should, _weighted(field, token, weight, "freq"))
            for field, weights in terms.fields.items()
            for token, weight in weights.items()
        ]
        parts += [
            (tantivy.Occur.Should, _weighted("key", key, weight, "basic"))
            for key, weight in terms.headings.items()
        ]
        if not parts or limit < 1:
            return []
        searcher = self._searcher
        query = tantivy.Query.boolean_query(parts)
        if only is not None:
            chosen = tantivy.Query.const_score_query(_sources(only), 0.0)
            query = tantivy.Query.boolean_query([(tantivy.Occur.Must, query), (tantivy.Occur.Must, chosen)])
        banned = list(never)
        if banned:
            query = tantivy.Query.boolean_query(
                [(tantivy.Occur.Must, query), (tantivy.Occur.MustNot, _sources(banned))]
            )
        hits = searcher.search(query, limit, count=False).hits
        numbers = searcher.fast_field_values("id", [address for _, address in hits])
        return [(int(number or 0), float(score)) for number, (score, _) in zip(numbers, hits, strict=True)]


def _term(field: str, token: str, option: str) -> tantivy.Query:
    return tantivy.Query.term_query(SCHEMA, field, token, option)


def _weighted(field: str, token: str, weight: float, option: str) -> tantivy.Query:
    return tantivy.Query.boost_query(_term(field, token, option), weight)


def _sources(numbers: Iterable[int]) -> tantivy.Query:
    return tantivy.Query.term_set_query(SCHEMA, "source", list(numbers))


class IndexWriter:
    """Adds and deletes; nothing is seen before `commit`. One at a time for a folder."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._writer = tantivy.Index(SCHEMA, str(folder)).writer(WRITER_MEMORY, 1)
        self._closed = False

    def add(
        self, number: int, source: int, title: str, heading: str, text: str, keys: Iterable[str],
        questions: Iterable[str] = (),
    ) -> None:  # fmt: skip
        """`title` and `heading` as tokens parted by spaces (`token_text`), which many passages share."""
        document = tantivy.Document()
        document.add_unsigned("id", number)
        document.add_unsigned("source", source)
        document.add_text("title", title)
        document.add_text("heading", heading)
        document.add_text("text", token_text(text))
        document.add_text("key", " ".join(keys))
        for question in questions:
            document.add_text("questions", token_text(question))
        self._writer.add_document(document)

    def delete(self, source: int) -> None:
        # By query: deleting by term takes an int for a signed field, and finds nothing.
        self._writer.delete_documents_by_query(_sources([source]))

    def commit(self) -> None:
        self._writer.commit()

    def rollback(self) -> None:
        self._writer.rollback()

    def close(self) -> None:
        """Wait for merges, and let another writer in. It may be called twice."""
        if not self._closed:
            self._closed = True
            self._writer.wait_merging_threads()
