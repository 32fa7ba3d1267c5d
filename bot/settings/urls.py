"""Settings that are URLs. No complaint quotes any of one: it may hold a password.

They are checked by rules of our own, before any library parses them: where a password is not encoded the
libraries' complaints quote it, and some take what follows it for a host or a database.
"""

from __future__ import annotations

import re
from urllib.parse import parse_qsl, urlsplit

ENCODE = "write # / ? @ % of a user or password as %23 %2F %3F %40 %25"
REDIS_FORMS = (
    "must be redis://host:port/0, rediss://…, unix:///path, redis+cluster://host:port,host:port or "
    "redis+sentinel://host:port,host:port/name"
)
_LABEL = "[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_HOST = re.compile(rf"{_LABEL}(?:\.{_LABEL})*\.?|\[[0-9A-Fa-f:.]+(?:%25[\w.~-]+)?\]")
# An option after ? of a Redis URL, as the library redis reads it, and what its value may be.
_NUMBER, _SECONDS, _SWITCH, _TEXT = r"\d{1,9}", r"\d{1,6}(\.\d+)?", "(?i:true|false|yes|no|on|off|1|0)", ".+"
_OPTIONS = {
    "db": r"\d{1,9}", "username": _TEXT, "password": _TEXT, "client_name": r"\S+", "protocol": "[23]",
    "socket_timeout": _SECONDS, "socket_connect_timeout": _SECONDS, "socket_keepalive": _SWITCH,
    "health_check_interval": _NUMBER, "max_connections": _NUMBER, "retry_on_timeout": _SWITCH,
}  # fmt: skip
_TLS_OPTIONS = {
    "ssl_cert_reqs": "none|optional|required", "ssl_check_hostname": _SWITCH, "ssl_ca_certs": _TEXT,
    "ssl_ca_path": _TEXT, "ssl_certfile": _TEXT, "ssl_keyfile": _TEXT, "ssl_keyfile_password": _TEXT,
}  # fmt: skip


def check_url(value: str) -> str:
    """An address to which paths are added. ValueError says what to write."""
    tail = _check_http(value)
    if "@" in tail:
        raise ValueError(f"has an @ after the host: {ENCODE}")
    if "?" in tail:
        raise ValueError("has a ?: it is an address to which paths are added")
    return value.rstrip("/")


def check_callback_url(value: str) -> str:
    """An address that is called as it is."""
    _check_http(value)
    return value.rstrip("/")


def _check_http(value: str) -> str:
    """What comes after the host; ValueError."""
    match = re.match(r"(?i:https?)://", value)
    if not match:
        raise ValueError("must be a URL that starts with http:// or https://")
    authority, tail = _split(value[match.end() :])
    if re.search(r"\s", value):
        raise ValueError("has a space in it: write it as %20")
    if "#" in tail:
        raise ValueError(f"has a #, after which nothing is sent: {ENCODE}")
    _check_host(authority.rpartition("@")[2], international=True)
    _check_account(authority)
    try:
        _ = urlsplit(value).port
    except ValueError:  # characters that look like / or @
        raise ValueError("has characters that a host cannot have") from None
    return tail


def check_host(value: str) -> str:
    """An address to listen on: a name or a number, without a scheme or a port."""
    literal = re.fullmatch(r"[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*(%[\w.~-]+)?", value)
    if not literal and not (_HOST.fullmatch(value) and not value.startswith("[")):
        raise ValueError("must be an address alone, such as 127.0.0.1, 0.0.0.0 or ::; the port is PLM_PORT")
    return value


def check_redis_url(value: str) -> str:
    """As bot.store.connection.connect reads it. ValueError says what to write."""
    scheme, found, rest = value.partition("://")
    if not found or scheme not in _REDIS_CHECKS:
        raise ValueError(REDIS_FORMS)
    if re.search(r"\s", value):
        raise ValueError("has a space in it: write it as %20")
    authority, tail = _split(rest)
    if "#" in tail:
        raise ValueError(f"has a #: {ENCODE}")
    if "@" in (tail if "@" not in authority else tail.partition("?")[0]) and (scheme != "unix" or authority):
        raise ValueError(f"has an @ after a / or ?: {ENCODE}")
    _check_account(authority)
    place = authority.rpartition("@")[2]
    path, _, query = tail.partition("?")
    _REDIS_CHECKS[scheme](scheme, place, path, query)
    return value


def _check_tcp(scheme: str, place: str, path: str, query: str) -> None:
    _check_host(place)
    if not re.fullmatch(r"/?|/\d{1,9}", path):
        raise ValueError("what follows the host must be the number of a database, such as /0")
    _check_options(query, _OPTIONS | _TLS_OPTIONS if scheme == "rediss" else _OPTIONS)


def _check_socket(scheme: str, place: str, path: str, query: str) -> None:
    if place or len(path) < 2:
        raise ValueError("must be unix:// and a path that starts with /, such as unix:///run/redis.sock?db=0")
    _check_options(query, {name: _OPTIONS[name] for name in ("db", "username", "password", "client_name")})


def _check_sentinels(scheme: str, place: str, path: str, query: str) -> None:
    form = "redis+sentinel://host:port,host:port/name"
    for host in place.split(","):
        _check_host(host)
        if not re.search(r":\d+$", host):
            raise ValueError(f"each sentinel needs its port: {form}")
    if query or not re.fullmatch(r"/[^/]+(/\d{1,9})?", path):
        raise ValueError(
            f"must end in the name of the master, and the number of a database at most: {form}/0"
        )


def _check_cluster(scheme: str, place: str, path: str, query: str) -> None:
    form = f"{scheme}://host:port,host:port"
    for host in place.split(","):
        _check_host(host)
        if not re.search(r":\d+$", host):
            raise ValueError(f"each node needs its port: {form}")
    if query or path not in ("", "/"):
        raise ValueError(f"must end with the nodes, for a cluster has one database: {form}")


_REDIS_CHECKS = {
    "redis": _check_tcp,
    "rediss": _check_tcp,
    "unix": _check_socket,
    "redis+sentinel": _check_sentinels,
    "redis+cluster": _check_cluster,
    "rediss+cluster": _check_cluster,
}


def _check_options(query: str, known: dict[str, str]) -> None:
    for name, given in parse_qsl(query, keep_blank_values=True):
        if name not in known:
            raise ValueError(f"has an option after ? that is none of {', '.join(known)}")
        if not re.fullmatch(known[name], given):
            raise ValueError(f"the option {name} after ? has a wrong value")


def _split(rest: str) -> tuple[str, str]:
    """User, password, host and port; and everything after them."""
    end = next((at for at, letter in enumerate(rest) if letter in "/?#"), len(rest))
    return rest[:end], rest[end:]


def _check_account(authority: str) -> None:
    account = authority.rpartition("@")[0]
    if re.search(r"[\[\]]", account) or not account.isascii():
        raise ValueError(
            "the user or password has [, ] or a letter that is not ASCII: write it %-encoded, [ as %5B"
        )


def _check_host(place: str, *, international: bool = False) -> None:
    """HOST or HOST:PORT."""
    host, colon, port = place.rpartition(":") if re.search(r":[^\]]*$", place) else (place, "", "")
    if colon and not (re.fullmatch(r"[0-9]{1,5}", port) and 0 < int(port) < 65536):
        raise ValueError(f"the port after the host must be a number from 1 to 65535; {ENCODE}")
    if not host:
        raise ValueError("has no host after ://")
    if not _HOST.fullmatch(host) and not (international and not host.isascii()):
        raise ValueError(f"has a host that cannot be one; {ENCODE}")


def without_secrets(url: str) -> str:
    """For a log or a message: without user, password and what follows a ?."""
    authority, tail = _split(url.partition("://")[2])
    host = authority.rpartition("@")[2]
    return f"{url.partition('://')[0]}://{host}{tail.partition('?')[0]}"
