"""The library through /admin/api: uploads of ten kinds, decisions, deletion, two hosts in step."""

from __future__ import annotations

import io
import json
import secrets
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bot.admin import library as admin_library
from bot.admin.uploads import file_name
from bot.store.conversations import Store
from engine.library.adding import add
from tests import small_library
from tests.bot.admin_client import HEADERS, AdminClient, everything, spelt
from tests.engine.library.documents_fixtures import TEXT, write_epub, write_pdf
from tests.service import wait_until

NOWHERE = "http://127.0.0.1:9/"
QUESTION = "针灸门诊周日休息吗"


def make(store: Store, folder: Path) -> AdminClient:
    """A host of its own, with a library of three books."""
    small_library.write(folder)
    client = AdminClient(store, NOWHERE, library=folder)
    wait_until(lambda: client.get("library/sources").json["fault"] is None, 20, "the library is ready")
    return client


@pytest.fixture
def host(store: Store, tmp_path: Path) -> Iterator[AdminClient]:
    client = make(store, tmp_path / "one")
    yield client
    client.close()


@pytest.fixture
def other(store: Store, tmp_path: Path) -> Iterator[AdminClient]:
    client = make(store, tmp_path / "two")
    yield client
    client.close()


def post_form(host: AdminClient, data: dict[str, Any]) -> Any:
    response = host.client.post("/admin/api/library/sources", headers=HEADERS, data=data)
    response.request.environ["wsgi.input"].close()  # the test client leaves its file of a large body open
    return response


def upload(host: AdminClient, *files: tuple[str, bytes], **form: str) -> list[dict[str, Any]]:
    data = {**form, "file": [(io.BytesIO(content), name) for name, content in files]}
    response = post_form(host, data)
    assert response.status_code == 200, response.text
    assert response.json["ready"] is True
    outcomes: list[dict[str, Any]] = response.json["outcomes"]
    return outcomes


def sources(host: AdminClient) -> dict[str, dict[str, Any]]:
    return {row["title"]: row for row in host.get("library/sources").json["sources"]}


def found(host: AdminClient, query: str = QUESTION) -> str:
    """All that a hit test says."""
    response = host.post("library/search", query=query)
    assert response.status_code == 200, response.text
    return str(response.text)


class Visitor:
    """Somebody at the chat page of a host."""

    def __init__(self, host: AdminClient) -> None:
        self.client = host.app.test_client()
        assert self.client.get("/").status_code == 200

    def ask(self, question: str) -> str:
        body = {"id": secrets.token_hex(16), "text": question}
        response = self.client.post("/page/chat", json=body)
        parts = [json.loads(line) for line in response.text.splitlines()]
        assert parts[-1].get("done"), parts
        return "".join(part.get("text", "") for part in parts)


def answer(host: AdminClient, question: str) -> str:
    return Visitor(host).ask(question)


def change(host: AdminClient, source_id: str, enabled: bool) -> Any:
    path = f"/admin/api/library/sources/{source_id}"
    return host.client.patch(path, headers=HEADERS, json={"enabled": enabled})


def delete(host: AdminClient, source_id: str) -> Any:
    return host.client.delete(f"/admin/api/library/sources/{source_id}", headers=HEADERS)


# -- the ten kinds


def gbk(path: Path) -> None:
    path.write_bytes(TEXT.encode("gbk"))


def scan(path: Path) -> None:
    write_pdf(path, ["", ""], picture_bytes=10_000)


def encrypted(path: Path) -> None:
    pypdf = pytest.importorskip("pypdf")
    plain = path.with_name("plain.pdf")
    write_pdf(plain, [TEXT])
    writer = pypdf.PdfWriter(clone_from=plain)
    writer.encrypt("secret")
    writer.write(path)


def large(path: Path) -> None:
    write_pdf(path, [f"第{n}页。\n{TEXT}" for n in range(20)], picture_bytes=40_000_000)


def docx(path: Path) -> None:
    document = pytest.importorskip("docx").Document()
    document.add_paragraph(TEXT)
    table = document.add_table(1, 2)
    table.rows[0].cells[0].text, table.rows[0].cells[1].text = "推拿", "一百二十元"
    document.save(str(path))


def csv(path: Path) -> None:
    path.write_text(f"q,a,q2\n针灸门诊周日休息吗,{TEXT},星期天上班吗\n", "utf-8-sig")


def page(path: Path) -> None:
    path.write_text(f"<html><script>x()</script><h1>门诊</h1><p>{TEXT}</p></html>", "utf-8")


def empty(path: Path) -> None:
    path.write_bytes(b"")


def renamed(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.txt", TEXT)


def epub(path: Path) -> None:
    write_epub(path, "门诊手册", [("时间", TEXT)])


KINDS: tuple[tuple[str, Callable[[Path], None], str], ...] = (
    ("门诊 时间（新）.txt", gbk, ""), ("扫描.pdf", scan, "OCR"), ("locked.pdf", encrypted, "encrypted"),
    ("large.pdf", large, ""), ("clinic.docx", docx, ""), ("faq.csv", csv, ""), ("page.html", page, ""),
    ("empty.txt", empty, "empty"), ("archive.pdf", renamed, "zip archive"), ("手册.epub", epub, ""),
)  # fmt: skip


@pytest.mark.parametrize(("name", "write", "reason"), KINDS, ids=[name for name, _, _ in KINDS])
def test_ten_kinds_of_documents(
    host: AdminClient, tmp_path: Path, name: str, write: Callable[[Path], None], reason: str
) -> None:
    if name.endswith((".pdf", ".docx", ".epub", ".html")):
        for module in ("pypdf", "docx", "bs4"):
            pytest.importorskip(module)
    path = tmp_path / name
    write(path)
    (outcome,) = upload(host, (name, path.read_bytes()))
    assert outcome["file"] == name
    if reason:
        assert (outcome["state"], outcome["id"]) == ("failed", "")
        assert reason in outcome["reason"]
        assert "每天九点" not in found(host)
        return
    assert outcome["state"] == "added", outcome["reason"]
    row = sources(host)[outcome["title"]]
    assert (row["origin"], row["enabled"], row["pending"], row["file"]) == ("uploaded", True, False, name)
    assert "每天九点" in found(host)


# -- outcomes


def test_each_file_has_its_outcome(host: AdminClient) -> None:
    text = TEXT.encode()
    outcomes = upload(host, ("门诊.txt", text), ("bad.pdf", b"PK\x03\x04"), ("x.exe", b"MZ"))
    assert [(row["file"], row["state"]) for row in outcomes] == [
        ("门诊.txt", "added"),
        ("bad.pdf", "failed"),
        ("x.exe", "failed"),
    ]
    assert [row["state"] for row in upload(host, ("other name.txt", text))] == ["unchanged"]
    (again,) = upload(host, ("门诊.txt", "针灸门诊周日也开门。".encode()))
    assert (again["state"], again["title"]) == ("replaced", "门诊")
    assert "周日也开门" in found(host)
    assert "每天九点" not in found(host)
    (second,) = upload(host, ("folder/门诊.md", "# 门诊\n\n推拿每次一百二十元。".encode()))
    assert (second["state"], second["title"]) == ("added", "门诊 (2)")
    assert len([row for row in sources(host).values() if row["origin"] == "uploaded"]) == 2


def test_a_form_says_title_and_author(host: AdminClient) -> None:
    (outcome,) = upload(host, ("a.txt", TEXT.encode()), title="门诊须知", author="王医生", dynasty="2026")
    row = sources(host)["门诊须知"]
    assert (row["id"], row["author"], row["dynasty"]) == (outcome["id"], "王医生", "2026")


def test_what_is_no_upload(host: AdminClient, monkeypatch: pytest.MonkeyPatch) -> None:
    path = "/admin/api/library/sources"
    assert host.client.post(path, headers=HEADERS, data={}).status_code == 400
    assert host.client.post(path, headers=HEADERS, json={"file": "x"}).status_code == 400
    monkeypatch.setattr(admin_library, "MAX_UPLOAD", 3 << 20)
    two = {"file": (io.BytesIO(b"a" * (2 << 20)), "two.txt")}  # more than other bodies may have
    assert post_form(host, two).status_code == 200
    four = {"file": (io.BytesIO(b"a" * (4 << 20)), "four.txt")}
    refused = post_form(host, four)
    assert (refused.status_code, "3 MiB" in refused.text) == (413, True)
    assert host.client.post(
        "/admin/api/library/search", headers=HEADERS, data=b"x" * (2 << 20)
    ).status_code in (413, 415)


def test_the_key_is_asked_for_before_the_body_is_read(host: AdminClient) -> None:
    class Unread(io.BytesIO):
        def read(self, *_: Any) -> bytes:
            raise AssertionError("the body was read")

    for method, path in (
        ("POST", "sources"), ("GET", "sources"), ("PATCH", "sources/x"), ("DELETE", "sources/x"),
        ("POST", "search"), ("POST", "pairs"),
    ):  # fmt: skip
        response = host.client.open(
            f"/admin/api/library/{path}", method=method, input_stream=Unread(), content_length=1 << 26,
            content_type="multipart/form-data; boundary=x",
        )  # fmt: skip
        assert response.status_code == 401, path


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("../../etc/passwd.txt", "passwd.txt"),
        ("C:\\files\\价目表.pdf", "价目表.pdf"),
        ("..", "file"),
        ("a\x00b\n.txt", "ab.txt"),
        ("书.txt.xz", "书.txt.xz"),
    ],
)
def test_names_of_files_stay_in_their_folder(given: str, name: str) -> None:
    assert file_name(given) == name


def test_long_names_keep_their_ending() -> None:
    name = file_name("药" * 300 + ".docx")
    assert name.endswith("药.docx")
    assert len(name.encode()) <= 255


# -- decisions


def test_a_disabled_source_is_kept_and_not_found(host: AdminClient) -> None:
    (outcome,) = upload(host, ("门诊.txt", TEXT.encode()))
    assert change(host, outcome["id"], False).json["enabled"] is False
    assert "每天九点" not in found(host)
    assert sources(host)["门诊"]["enabled"] is False
    change(host, outcome["id"], True)
    assert "每天九点" in found(host)


def test_texts_of_this_host_alone_are_changed_here(host: AdminClient, other: AdminClient) -> None:
    row = sources(host)[small_library.SHANGHAN]
    assert (row["origin"], row["id"][:6]) == ("local", "local-")
    change(host, row["id"], False)
    assert small_library.HERBS not in found(host, small_library.FORMULA)
    assert small_library.HERBS in found(other, small_library.FORMULA)
    assert delete(host, row["id"]).status_code == 200
    assert small_library.SHANGHAN not in sources(host)


def test_ids_may_stand_in_query_and_body(host: AdminClient) -> None:
    (outcome,) = upload(host, ("门诊.txt", TEXT.encode()))
    path = "/admin/api/library/sources"
    body = {"id": outcome["id"], "enabled": False}
    assert host.client.patch(path, headers=HEADERS, json=body).status_code == 200
    assert sources(host)["门诊"]["enabled"] is False
    assert host.client.delete(f"{path}?id={outcome['id']}", headers=HEADERS).status_code == 200
    assert "门诊" not in sources(host)
    assert host.client.delete(path, headers=HEADERS, json={"id": outcome["id"]}).status_code == 404


def test_bundled_sources_can_be_disabled_on_every_host_and_not_removed(
    host: AdminClient, other: AdminClient
) -> None:
    for client in (host, other):
        assert client.bot.library
        with client.bot.library.library.writer() as writer:
            writer.add_text("神农本草经", "", "汉", "人参 味甘微寒。主补五脏。", kind="book", bundled=True)
    row = sources(host)["神农本草经"]
    assert row["origin"] == "bundled"
    assert delete(host, row["id"]).status_code == 409
    change(host, row["id"], False)
    wait_until(lambda: not sources(other)["神农本草经"]["enabled"], 2, "the other host has heard of it")
    assert sources(other)["神农本草经"]["id"] == row["id"]
    change(other, row["id"], True)
    wait_until(lambda: sources(host)["神农本草经"]["enabled"], 2, "and back")


def test_unknown_sources_and_wrong_bodies(host: AdminClient) -> None:
    assert change(host, "0" * 16, True).status_code == 404
    assert delete(host, "local-99").status_code == 404
    assert host.post("library/search", query="").status_code == 400
    assert host.post("library/search", query="麻黄", book="没有这本").status_code == 400
    assert host.post("library/pairs", questions=[], answer="x").status_code == 400
    assert host.post("library/pairs", questions=["  "], answer="x").status_code == 400
    assert host.post("library/pairs", questions=["x"], answer=" \n").status_code == 400


def test_without_a_library_there_is_none(store: Store) -> None:
    client = AdminClient(store, NOWHERE, library="none")
    try:
        assert client.get("library/sources").json["present"] is False
        assert client.post("library/search", query="x").status_code == 404
        assert client.client.get("/library/passage?book=x&start=0&end=3").status_code == 404
    finally:
        client.close()


# -- hit test and pairs


def test_the_hit_test_shows_what_the_chat_says(host: AdminClient) -> None:
    said = host.post("library/search", query=small_library.FORMULA, limit=3).json
    best = said["results"][0]
    assert best["book"] == small_library.SHANGHAN
    assert best["score"] > 0
    assert best["why"]
    assert said["answer"]["abstained"] is False
    assert said["answer"]["answer"] == answer(host, small_library.FORMULA)
    quoted = said["answer"]["sources"][0]
    assert quoted["quote"] in said["answer"]["answer"]
    unknown = host.post("library/search", query=small_library.UNKNOWN).json["answer"]
    assert unknown["abstained"] is True
    assert unknown["score"] < unknown["minimum"]
    only = host.post("library/search", query="麻黄", book=small_library.BENCAO).json["results"]
    assert {hit["book"] for hit in only} <= {small_library.BENCAO}


def test_a_pair_by_hand_answers_in_the_owners_words(host: AdminClient, other: AdminClient) -> None:
    words = "可以停在后院，每小时五元。"
    assert words not in answer(host, "哪里可以停车？")
    said = host.post("library/pairs", questions=["哪里可以停车？", "有停车场吗"], answer=words)
    assert said.json["state"] == "added"
    assert answer(host, "有停车场吗？") == words
    wait_until(lambda: words in found(other, "哪里可以停车"), 3, "the other host answers it, too")
    changed = host.post("library/pairs", questions=["哪里可以停车？"], answer="后院已满。")
    assert changed.json["state"] == "replaced"
    assert answer(host, "哪里可以停车？") == "后院已满。"


def test_a_pair_takes_its_wordings_off_the_list_of_the_unanswered(host: AdminClient) -> None:
    def unanswered() -> set[str]:
        return {row["question"] for row in host.get("library/unanswered").json["questions"]}

    visitor = Visitor(host)
    for question in ("彩票号码怎么选？", "选什么彩票", small_library.UNKNOWN):
        visitor.ask(question)
    assert len(unanswered()) == 3
    host.post("library/pairs", questions=["彩票号码怎么选", "选什么彩票？"], answer="我们不卖彩票。")
    assert unanswered() == {small_library.UNKNOWN[:-1]}


# -- deletion


def test_nothing_of_a_removed_source_is_left(host: AdminClient, other: AdminClient, store: Store) -> None:
    secret = "秘方紫河丹"
    text = f"# {secret}\n\n{secret}：治久咳气喘，用紫菀、款冬花各三钱，蜜丸。".encode()
    (outcome,) = upload(host, ("casebook.md", text))
    asked = f"{secret}治什么？"
    visitor = Visitor(host)
    assert "久咳气喘" in visitor.ask(asked)
    assert "久咳气喘" in visitor.client.get("/").text
    wait_until(lambda: "款冬花" in found(other, asked), 3, "the other host has it")
    began = time.monotonic()
    assert delete(host, outcome["id"]).json["ready"] is True
    assert "款冬花" not in found(host, asked)
    wait_until(lambda: "款冬花" not in found(other, asked), 2, "the other host has dropped it")
    assert time.monotonic() - began < 4
    for question in (asked, "那用什么药？", "出处", "查：紫河丹"):  # in the conversation that quoted it
        said = visitor.ask(question)
        assert "久咳气喘" not in said, question
        assert "款冬花" not in said, question
    assert "久咳气喘" not in visitor.client.get("/").text
    for client in (host, other):
        assert "久咳气喘" not in answer(client, asked)
        assert outcome["title"] not in sources(client)
        assert client.bot.library
        files = b"".join(path.read_bytes() for path in client.bot.library.folder.rglob("*") if path.is_file())
        assert "款冬花".encode() not in files
    kept = "\n".join(
        line for line in everything(store).split("\n") if "{library}" in line or "{admin}" in line
    )
    assert outcome["id"] in kept  # the audit log says which source was removed, and not what it was
    for word in (secret, "casebook", "款冬花"):
        assert not any(form in kept for form in spelt(word)), word
    assert list(store.client.scan_iter("plm:{library}:text:*")) == []


# -- hosts


def test_a_host_that_was_away_catches_up(host: AdminClient, store: Store, tmp_path: Path) -> None:
    (outcome,) = upload(host, ("门诊.txt", TEXT.encode()), ("b.txt", "推拿每次一百二十元。".encode()))[:1]
    late = make(store, tmp_path / "late")
    wait_until(lambda: "每天九点" in found(late), 5, "a new host has the uploads")
    late.close()
    delete(host, outcome["id"])
    late = make_again(store, tmp_path / "late")
    wait_until(lambda: "每天九点" not in found(late), 3, "what was removed meanwhile is gone")
    assert "推拿" in found(late, "推拿多少钱")
    late.close()


def test_processes_of_one_host_share_a_library(host: AdminClient, store: Store) -> None:
    assert host.bot.library
    second = make_again(store, host.bot.library.folder)
    ids = [
        upload(client, (f"{n}.txt", f"第{n}份：推拿每次一百二十元。".encode()))[0]["id"]
        for n, client in enumerate([host, second] * 3)
    ]
    for client in (host, second):
        wait_until(lambda client=client: set(ids) <= {row["id"] for row in sources(client).values()}, 3)
        assert len([row for row in sources(client).values() if row["origin"] == "uploaded"]) == len(ids)
    for client, source_id in zip([second, host] * 3, ids, strict=True):
        assert delete(client, source_id).json["ready"] is True
    assert "推拿" not in found(host, "第三份")
    second.close()


def make_again(store: Store, folder: Path) -> AdminClient:
    return AdminClient(store, NOWHERE, library=folder)


def test_a_lost_store_takes_no_texts_from_the_hosts(host: AdminClient, store: Store) -> None:
    """Its successor does not know them, so they stay as texts of each host."""
    upload(host, ("门诊.txt", TEXT.encode()))
    store.client.flushall()
    upload(host, ("b.txt", "推拿每次一百二十元。".encode()))
    assert "每天九点" in found(host)
    assert sources(host)["门诊"]["origin"] == "local"


def test_an_upload_takes_the_place_of_the_same_text_on_one_host(host: AdminClient, tmp_path: Path) -> None:
    path = tmp_path / "门诊.txt"
    path.write_text(TEXT, "utf-8")
    assert host.bot.library
    assert [held.state for held in add(host.bot.library.library, [path])] == ["added"]
    (outcome,) = upload(host, ("门诊.txt", TEXT.encode()))
    assert outcome["state"] == "added"

    def origins() -> dict[str, str]:
        return {title: row["origin"] for title, row in sources(host).items() if title.startswith("门诊")}

    wait_until(lambda: origins() == {"门诊": "uploaded"}, 3, "one of the two is left")


def test_everything_is_in_the_audit_log_without_texts(host: AdminClient) -> None:
    (outcome,) = upload(host, ("门诊.txt", TEXT.encode()))
    found(host, "一个没人该看到的问题")
    change(host, outcome["id"], False)
    delete(host, outcome["id"])
    host.post("library/pairs", questions=["几点关门"], answer="六点关门。")
    log = host.get("audit", limit=20).json["audit"]
    actions = {row["action"] for row in log}
    assert {f"library.{name}" for name in ("upload", "search", "disable", "remove", "add_pair")} <= actions
    for word in ("没人该看到", "门诊", "六点"):
        assert word not in json.dumps(log, ensure_ascii=False)
