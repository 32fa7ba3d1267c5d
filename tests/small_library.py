"""A library of three short books and a pair of the owner's own, for tests of what is answered from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from engine.library import Library, Pair

SHANGHAN, YIFANG, BENCAO = "伤寒论", "医方集解", "本草备要"
BOOKS = {
    (SHANGHAN, "张仲景", "东汉"): """《伤寒论》 东汉 张仲景

辨太阳病脉证并治中
34．太阳病，桂枝证，医反下之，利遂不止，脉促者，表未解也；喘而汗出者，葛根黄芩黄连汤主之。
35．太阳病，头痛、发热、身疼、腰痛、骨节疼痛、恶风、无汗而喘者，麻黄汤主之。方五。
麻黄（去节，三两） 桂枝（去皮，二两） 甘草（炙，一两） 杏仁（去皮尖，七十个）
上四味，以水九升，先煮麻黄，减二升，去上沫，内诸药，煮取二升半，去滓，温服八合，覆取微似汗，不须啜粥。

辨阳明病脉证并治
180．阳明之为病，胃家实（一作寒）是也。
""",
    (YIFANG, "汪昂", "清"): """《医方集解》 清 汪昂

牵正散
治中风口眼㖞斜，无他证者。
白附子 僵蚕 全蝎（等分）为末，每服二钱，酒调下。
""",
    (BENCAO, "汪昂", "清"): """《本草备要》 清 汪昂

天麻
宣，祛风
辛温，入肝经气分。益气强阴，通血脉，强筋力，疏痰气。
治诸风眩掉，头旋眼黑，语言不遂，风湿痹，小儿惊痫。血液衰少及类中风者忌用。
""",
}
FORMULA = "麻黄汤由哪些药组成？"  # answered out of SHANGHAN alone
HERBS = "麻黄（去节，三两） 桂枝（去皮，二两） 甘草（炙，一两） 杏仁（去皮尖，七十个）"
HERB = "天麻有什么功效？"  # answered out of BENCAO alone
HOURS, OPEN = "你们几点开门？", "我们每天八点开门，周日休息。"
UNKNOWN = "量子计算机的原理是什么？"


def write(folder: Path) -> Library:
    """Make the library in a folder."""
    return library_of(folder, BOOKS, [Pair("hours", (HOURS, "几点开门"), OPEN)])


def library_of(
    folder: Path, books: Mapping[tuple[str, str, str], str], pairs: Sequence[Pair] = ()
) -> Library:
    """A library in a folder: texts by title, author and dynasty, and pairs of the owner's own."""
    library = Library.open(folder)
    with library.writer() as writer:
        for (title, author, dynasty), text in books.items():
            writer.add_text(title, author, dynasty, text, file=f"{title}.txt", kind="book")
        if pairs:
            writer.add_pairs("本店问答", pairs, file="shop.csv")
    return library


def remove(library: Library, title: str) -> None:
    with library.writer() as writer:
        writer.remove(library.source(title).id)
