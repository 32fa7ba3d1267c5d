"""A small library of real passages, and one that answers from it."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.grounding import Answerer
from engine.library import Library

BOOKS = {
    ("伤寒论", "张仲景", "东汉"): """《伤寒论》 东汉 张仲景

辨太阳病脉证并治中
35．太阳病，头痛、发热、身疼、腰痛、骨节疼痛、恶风、无汗而喘者，麻黄汤主之。方五。
麻黄（去节，三两） 桂枝（去皮，二两） 甘草（炙，一两） 杏仁（去皮尖，七十个）
上四味，以水九升，先煮麻黄，减二升，去上沫，内诸药，煮取二升半，去滓，温服八合，覆取微似汗，不须啜粥。

辨阳明病脉证并治
180．阳明之为病，胃家实（一作寒）是也。

辨厥阴病脉证并治
351．手足厥寒，脉细欲绝者，当归四逆汤主之。方三。
当归（三两） 桂枝（去皮，三两） 芍药（三两） 细辛（三两） 甘草（炙，二两） 通草（二两） 大枣（擘，二十五枚）
""",
    ("医方集解", "汪昂", "清"): """《医方集解》 清 汪昂

健脾丸
治脾虚气弱，饮食不消。
人参 白术（土炒，二两） 陈皮 麦芽（炒，二两） 山楂（去核，两半） 枳实（三两）
此足太阴、阳明药也。

牵正散
治中风口眼㖞斜，无他证者。
白附子 僵蚕 全蝎（等分）为末，每服二钱，酒调下。
""",
    ("本草备要", "汪昂", "清"): """《本草备要》 清 汪昂

天麻
宣，祛风
辛温，入肝经气分。益气强阴，通血脉，强筋力，疏痰气。
治诸风眩掉，头旋眼黑，语言不遂，风湿痹，小儿惊痫。血液衰少及类中风者忌用。

生地黄
大泻火
甘苦大寒，入心肾。泻丙火（小肠为丙火，心与小肠相表里，导赤散与木通同用），清燥金，平诸血逆。

熟地黄
平补肝肾，养血滋阴
甘而微温。入手足少阴、厥阴经。滋肾水，补真阴，填骨髓，生精血，聪耳明目，黑发乌髭。
""",
    ("医学心悟", "程国彭", "清"): """《医学心悟》 清 程国彭

健忘
健忘之症，大概由于心肾不交，法当补之，归脾汤、十补丸主之。亦有痰因火动，痰客心胞者，此乃神志昏愦。
""",
    ("黄帝内经素问", "", ""): """《黄帝内经素问》

灵兰秘典论
心者，君主之官也，神明出焉。肺者，相傅之官，治节出焉。肝者，将军之官，谋虑出焉。胆者，中正之官，决断出焉。
脾胃者，仓廪之官，五味出焉。肾者，作强之官，伎巧出焉。

四气调神大论
所以圣人春夏养阳，秋冬养阴，以从其根，故与万物沉浮于生长之门。
""",
    ("普济方选", "", "明"): """《普济方选》 明

健脾丸
治脾胃不和。
白术（四两） 茯苓（二两） 神曲（炒，二两） 木香（一两） 黄连（一两）
""",
}


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Library:
    folder: Path = tmp_path_factory.mktemp("library")
    held = Library.open(folder)
    with held.writer() as writer:
        for (title, author, dynasty), text in BOOKS.items():
            writer.add_text(title, author, dynasty, text, file=f"{title}.txt", kind="book")
    return held


@pytest.fixture(scope="session")
def answerer(library: Library) -> Answerer:
    return Answerer(library)
