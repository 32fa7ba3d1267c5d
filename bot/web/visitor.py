"""Who asks the pages for something: whose conversation it is, the language and colours that were chosen.

Whose conversation it is lies in a random cookie that no script can read. Other sites' pages cannot speak for
the browser: their requests carry the wrong Origin, and JSON bodies need a leave (CORS) that is never given.
Language and theme are cookies too, so that a page comes in them at once and without a script.
"""

from __future__ import annotations

import json
import re
import secrets
from typing import Any

from flask import Response, redirect, request
from werkzeug.exceptions import BadRequest, Forbidden, UnsupportedMediaType

from bot.api.auth import is_same_origin
from bot.text.records import Conversation
from bot.web.strings import STRINGS

COOKIE = "plm_page"
TOKEN = re.compile(r"[0-9a-f]{32}")
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
LANGUAGES = {"zh": "zh-CN", "en": "en"}
THEMES = ("light", "dark", "system")
CHOICES = {"language": tuple(LANGUAGES), "theme": THEMES}  # of a visitor; each in the cookie plm_NAME
CHOICE_SECONDS = 365 * 24 * 3600


def current_token() -> str | None:
    token = request.cookies.get(COOKIE, "")
    return token if TOKEN.fullmatch(token) else None


def current_conversation() -> Conversation | None:
    token = current_token()
    return Conversation("page", token) if token else None


def set_token(response: Response, token: str | None, keep_days: float) -> None:
    """Remember the visitor, a new one if there is none yet."""
    response.set_cookie(
        COOKIE, token or secrets.token_hex(16), max_age=int(keep_days * 24 * 3600), path="/",
        httponly=True, samesite="Lax", secure=request.is_secure,
    )  # fmt: skip


def read_request() -> tuple[Conversation, str, dict[str, Any]]:
    """Whose request this is, its id, and its body; aborts with 400, 403 or 415."""
    if not _same_origin():
        raise Forbidden("this address is for the page of this site alone")
    if not request.is_json:
        raise UnsupportedMediaType("the body must be JSON")
    try:
        conversation, body = current_conversation(), request.get_json()
    except RecursionError:
        raise BadRequest("the body is not JSON") from None
    if conversation is None:
        raise BadRequest(page_strings()[1]["cookie"])
    message_id = body.get("id") if isinstance(body, dict) else None
    if not isinstance(message_id, str) or not TOKEN.fullmatch(message_id):
        raise BadRequest("id must be 32 hexadecimal digits")
    return conversation, message_id, body


def talk_number(given: object) -> int | None:
    """The number of a talk as a request names it."""
    if isinstance(given, str) and given.isascii() and given.isdecimal():
        given = int(given[:9])
    return given if type(given) is int and 0 <= given < 10**9 else None


def page_strings() -> tuple[str, dict[str, str]]:
    """The language that the visitor chose, else the one that the browser prefers, and what the page says in
    it; Chinese for any but English."""
    chosen = request.cookies.get("plm_language", "")
    asked = (tag[:2].lower() for tag in request.accept_languages.values())  # the most wanted first
    if chosen not in LANGUAGES:
        chosen = next((tag for tag in asked if tag in LANGUAGES), "zh")
    language = LANGUAGES[chosen]
    return language, STRINGS[language]


def theme() -> str:
    chosen = request.cookies.get("plm_theme", "")
    return chosen if chosen in THEMES else "system"


def remember_choices() -> Response | None:
    """For before_request: `?language=en` or `?theme=dark` is remembered, then the page asked for without."""
    given = {name: request.args.get(name) for name in CHOICES if name in request.args}
    if request.method != "GET" or not given:
        return None
    kept = "&".join(f"talk={talk}" for talk in (talk_number(request.args.get("talk")),) if talk is not None)
    here = request.path.rpartition("/")[2]  # relative: the service may lie behind a prefix
    response = redirect((here or "./") + (f"?{kept}" if kept else ""), 303)
    response.autocorrect_location_header = False
    for name, value in given.items():
        if value in CHOICES[name]:
            response.set_cookie(
                f"plm_{name}", value, max_age=CHOICE_SECONDS, path="/", httponly=True, samesite="Lax",
                secure=request.is_secure,
            )  # fmt: skip
    return response  # type: ignore[return-value]


def refuse(status: int, sentence: str) -> Response:
    response = Response(
        json.dumps({"error": sentence}, ensure_ascii=False), status, mimetype="application/json"
    )
    if status == 503:
        response.headers["Retry-After"] = "2"
    return response


def _same_origin() -> bool:
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        return site == "same-origin"
    return is_same_origin()  # older browsers, and plain http
