"""What belongs to the site, not to a conversation: its title, icons and manifest, and the privacy page."""

from __future__ import annotations

import logging
from types import SimpleNamespace
from typing import Any

from flask import Blueprint, Response, current_app, jsonify, make_response, render_template, url_for

from bot.context import current_bot
from bot.settings.page import image_type
from bot.web.visitor import page_strings, remember_choices, theme

log = logging.getLogger(__name__)
blueprint = Blueprint("site", __name__)
blueprint.before_request(remember_choices)

DAY = 24 * 3600  # seconds that browsers keep an icon
PAPER, LEAF = "#f7f5ef", "#2f6b4f"  # as in static/base.css


def appearance() -> dict[str, Any]:
    """What every page's template takes: language, theme, title, icons."""
    settings, shown = current_bot().settings, theme()
    own = settings.page_logo
    icon = url_for("site.logo") if own else url_for("static", filename="icon.svg")
    # Apple's touch icons are no SVG; with an owner's SVG there is none rather than the project's.
    touch = icon if own else url_for("static", filename="touch-icon.png")
    return {
        "language": page_strings()[0], "theme": shown, "title": settings.page_title, "icon": icon,
        "touch_icon": "" if own and own.suffix.lower() == ".svg" else touch,
        "colour_scheme": "light dark" if shown == "system" else shown,
    }  # fmt: skip


@blueprint.get("/page/logo")
def logo() -> Response:
    """The owner's picture; by default the project's."""
    path = current_bot().settings.page_logo
    if path is None:
        return current_app.send_static_file("icon.svg")
    try:
        data = path.read_bytes()
    except OSError as error:
        log.error("PLM_PAGE_LOGO: %s", error)
        return current_app.send_static_file("icon.svg")
    response = Response(data, mimetype=image_type(data) or "application/octet-stream")
    response.headers["Cache-Control"] = f"max-age={DAY}"
    return response


@blueprint.get("/favicon.ico")
def favicon() -> Response:
    if current_bot().settings.page_logo:
        return logo()
    return current_app.send_static_file("favicon.ico")


@blueprint.get("/manifest.webmanifest")
def manifest() -> Response:
    """For a browser that puts the page on the home screen."""
    look = appearance()
    icons = [{"src": look["icon"], "sizes": "any"}]
    if look["touch_icon"] and look["touch_icon"] != look["icon"]:
        icons.append({"src": look["touch_icon"], "sizes": "180x180", "type": "image/png"})
    response = jsonify(
        name=look["title"], short_name=look["title"][:12], lang=look["language"],
        start_url=url_for("page.show"), scope=url_for("page.show"), display="standalone",
        background_color=PAPER, theme_color=LEAF, icons=icons,
    )  # fmt: skip
    response.mimetype = "application/manifest+json"
    return response


@blueprint.get("/privacy")
def privacy() -> Response:
    """What is kept of a visitor, how long, and how it is erased."""
    bot, strings = current_bot(), page_strings()[1]
    settings = bot.settings
    page = render_template(
        "privacy.html", strings=SimpleNamespace(**strings), days=f"{settings.keep_days:g}",
        message_days=f"{min(3, settings.keep_days):g}", contact=settings.page_contact,
        logs_texts=settings.log_text, limited=bool(settings.rate_limit), quotes=bot.library is not None,
        **appearance(),
    )  # fmt: skip
    response = make_response(page)
    response.headers["Cache-Control"] = "no-cache"
    return response
