"""What values of settings look like: how each kind is read, and what is said of a wrong one.

No complaint quotes a secret.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Annotated, Literal

import limits
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_settings import NoDecode

from bot.settings.credentials import SigningSecret, checked_by, plain, split_credentials
from bot.settings.urls import check_callback_url, check_host, check_redis_url, check_url

SCOPES = frozenset({"chat", "likelihood", "search"})  # what an API key may be for
KEY_NAME = re.compile(r"[A-Za-z0-9_-]{1,40}")
NO_LIMIT = ("0", "off", "none")
MOST = 1_000_000_000  # of a rate, and
LONGEST = 366 * 24 * 3600  # seconds: Redis cannot count without end
KEY = re.compile(r"[A-Za-z0-9_.~+/=-]{20,200}")


def split(value: object) -> object:
    return tuple(part for part in re.split(r"[,\s]+", value) if part) if isinstance(value, str) else value


def _read_words(value: object) -> object:
    """A list, words with commas between, or the path of a file with one a line (# begins a remark)."""
    if isinstance(value, str):
        if "/" in value:
            try:
                lines = Path(value).expanduser().read_text("utf-8-sig").splitlines()
            except (OSError, UnicodeDecodeError, RuntimeError) as error:
                reason = getattr(error, "strerror", None) or "it is not UTF-8"
                raise ValueError(f"the file {value} cannot be read: {reason}") from None
            value = [line for line in lines if not line.startswith("#")]
        else:
            value = re.split("[,，]", value)
    if not isinstance(value, list | tuple) or not all(isinstance(word, str) for word in value):
        raise ValueError("must be words, or the path of a file with a word a line")
    return tuple(word.strip() for word in value if word.strip())


def _read_folder(value: object) -> object:
    """A folder, which may begin with ~ and may be there already."""
    if not isinstance(value, str | Path):
        return value
    try:
        place = Path(value).expanduser()
        if place.exists() and not place.is_dir():
            raise ValueError(f"{place} is no folder")
    except OSError as error:
        raise ValueError(f"cannot be a folder: {error.strerror}") from None
    except RuntimeError:
        raise ValueError(f"{value}: there is no such user") from None
    return place


def _must_exist(place: Path) -> Path:
    if not place.is_dir():
        raise ValueError(f"there is no folder {place}")
    return place


def read_rates(value: object) -> object:
    """`20/minute;500/day`, as the library `limits` writes it; `0`, `off` or `none`: no limit."""
    if value == 0 or (isinstance(value, str) and value.strip().lower() in NO_LIMIT):
        return ()
    if not isinstance(value, str):
        return value
    try:
        rates = tuple(limits.parse_many(value))
    except ValueError:
        rates = ()
    if not rates or not all(rate.amount > 0 for rate in rates):
        raise ValueError("must be like 20/minute or 20/minute;500/day, or 0 for no limit")
    if any(rate.amount > MOST or rate.get_expiry() > LONGEST for rate in rates):
        raise ValueError(f"must be at most {MOST:,} in at most a year; 0 for no limit")
    return rates


def _read_library(value: object) -> object:
    """`none`, a file, or the folder of a library: one that is there, or one that is to be made."""
    if not isinstance(value, str | Path):
        return value
    if str(value) == "none":
        return "none"
    try:
        place = Path(value).expanduser()
        if place.is_dir():
            inside = {path.name for path in place.iterdir()}
            if inside - {"build.lock", "writer.lock"} and "current" not in inside:
                raise ValueError(
                    f"{place} is no library: `plm library --folder NEW add {place}` makes one of it"
                )
        elif place.exists() and not place.is_file():
            raise ValueError(f"{place} is neither a file nor a folder")
        elif not place.exists() and (place.suffix or not place.absolute().parent.is_dir()):
            raise ValueError(f"there is no file or folder {place}")
    except OSError as error:
        raise ValueError(f"{value} cannot be read: {error.strerror}") from None
    except RuntimeError:  # ~somebody
        raise ValueError(f"{value}: there is no such user") from None
    return place


Host = Annotated[str, checked_by(check_host)]
DataFolder = Annotated[Path, BeforeValidator(_read_folder)]
Folder = Annotated[DataFolder, AfterValidator(_must_exist)]
LibraryPlace = Annotated[Path | Literal["none"] | None, BeforeValidator(_read_library)]
Rates = Annotated[tuple[limits.RateLimitItem, ...], BeforeValidator(read_rates)]


class ApiKey(BaseModel):
    """One API key, of which only the hash is kept."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)
    name: str
    digest: bytes  # sha256
    scopes: frozenset[str]
    rates: Rates | None  # None: those of everybody


def read_api_keys(value: object) -> object:
    """NAME:KEY[:SCOPE+SCOPE[:RATE]], separated by commas or spaces; no complaint may quote a key."""
    entries = split_credentials(value) if isinstance(value, str) else value
    if not isinstance(entries, list | tuple) or not all(isinstance(entry, str) for entry in entries):
        raise ValueError("must be texts of the form NAME:KEY:SCOPES:RATE")
    keys = [_read_api_key(number, entry) for number, entry in enumerate(entries, 1)]
    for what in ("name", "digest"):
        if len({getattr(key, what) for key in keys}) < len(keys):
            raise ValueError(f"two entries have the same {'key' if what == 'digest' else what}")
    return tuple(keys)


def _read_api_key(number: int, entry: str) -> ApiKey:
    if ":" not in entry:
        raise ValueError(
            f"entry {number} is not NAME:KEY: write its owner's name and a colon before the key: shop:…"
        )
    name, key, scopes, rates, *more = [*entry.split(":"), "", "", ""]
    if not KEY_NAME.fullmatch(name) or any(more):
        raise ValueError(f"entry {number} must be NAME:KEY, NAME:KEY:SCOPES or NAME:KEY:SCOPES:RATE")
    if not KEY.fullmatch(key):
        raise ValueError(
            f"the key of entry {number} (NAME:KEY) must be 20 to 200 letters, digits or any of _.~+/=-"
        )
    wanted = frozenset(scopes.split("+")) if scopes else SCOPES
    if not wanted <= SCOPES:
        raise ValueError(
            f"the scopes of entry {number} must be among {', '.join(sorted(SCOPES))}, joined by +"
        )
    try:
        own = read_rates(rates) if rates else None
    except ValueError as error:
        raise ValueError(f"the rate of entry {number} {error}") from None
    return ApiKey(name=name, digest=hashlib.sha256(key.encode()).digest(), scopes=wanted, rates=own)  # type: ignore[arg-type]


Url = Annotated[str, checked_by(check_url)]
CallbackUrl = Annotated[str, checked_by(lambda value: check_callback_url(plain(value)))]
RedisUrl = Annotated[str, checked_by(check_redis_url)]
WordList = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_read_words)]


def split_secrets(value: object) -> object:
    return split_credentials(value) if isinstance(value, str) else value


class Redacted:
    """Shows no value: a traceback, a log line or a debugger's page must not tell a secret."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}(…)"

    __str__ = __repr__


class Webhook(Redacted, BaseModel):
    """One name under /webhook: several secrets are valid while one is being changed; the first one signs."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    secret: Annotated[tuple[SigningSecret, ...], BeforeValidator(split_secrets), Field(min_length=1)]
    url: CallbackUrl | None = None
