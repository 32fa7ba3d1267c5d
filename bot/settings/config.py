"""Settings: the environment (PLM_*) over a TOML file (PLM_CONFIG) over defaults.

A wrong or missing value raises ConfigError, whose text is one line that names the variable. Secrets are never
part of that line.
"""

from __future__ import annotations

import hashlib
import os
import re
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationError, model_validator
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from bot.settings.complaints import one_line
from bot.settings.credentials import (
    AdminKey,
    AesKey,
    Credential,
    EncryptKey,
    TelegramSecret,
    TelegramToken,
    WechatToken,
    marks_around,
    plain,
)
from bot.settings.page import PageContact, PageExamples, PageLogo, PageTitle
from bot.settings.values import (
    ApiKey,
    DataFolder,
    Folder,
    Host,
    LibraryPlace,
    Rates,
    Redacted,
    RedisUrl,
    Url,
    Webhook,
    WordList,
    read_api_keys,
)
from engine import CHAT, model_names

DISCLAIMER = (
    "提示：我是一个自己训练的小语言模型，所答可能有误，仅供学习参考，"
    "不能代替医师的诊断和处方；身体不适请及时就医。"
)
# Read by other parts: `plm admin`, the engine, the build, the tests, and this module itself.
ELSEWHERE = {"PLM_CONFIG", "PLM_ADMIN_URL", "PLM_ISA", "PLM_CUDA", "PLM_REQUIRE"}
WEBHOOK_VARIABLE = re.compile(r"PLM_WEBHOOK_([A-Z0-9_]+)_(SECRET|URL)")
WEBHOOK_NAME = re.compile(r"[a-z0-9_]+")

FOR_PEOPLE = {"disclaimer", "page_examples", "emergencies", "forbidden"}  # any text
CREDENTIAL = re.compile("(token|secret|key|key_previous|appid|corpid|app_id)$")

# What each platform beside WeChat needs to be set up.
ADAPTERS = {
    "wecom": ("corpid", "agentid", "secret", "token", "aes_key"),
    "feishu": ("app_id", "app_secret", "encrypt_key", "verification_token"),
    "dingtalk": ("app_secret",),
    "telegram": ("token", "secret"),
}


class ConfigError(Exception):
    """A setting is wrong or missing; the text names it in one line."""


def default_data_dir() -> Path:
    base = os.environ.get("XDG_DATA_HOME", "")
    return (Path(base) if base.startswith("/") else Path("~/.local/share").expanduser()) / "personal-lm"


class Settings(Redacted, BaseSettings):
    """Every field is the variable PLM_<FIELD>, and the key <field> in the TOML file."""

    model_config = SettingsConfigDict(
        env_prefix="PLM_",
        env_ignore_empty=True,
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
        arbitrary_types_allowed=True,
    )

    host: Host = "127.0.0.1"
    port: int = Field(8000, ge=1, le=65535)
    model: str = "tcm"
    model_dir: Folder | None = None
    data_dir: DataFolder = Field(default_factory=default_data_dir)
    redis_url: RedisUrl | None = None
    queue_url: RedisUrl | None = None  # of the task queues, by default redis_url
    engine_url: Url | None = None
    library: LibraryPlace = None  # by default one in data_dir, with the bundled books
    library_minimum: float | None = Field(None, ge=0, le=1)  # how sure an answer must be; by default its own
    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: int = Field(48, ge=2, le=1000)  # a WeChat request may hold one for five seconds
    processes: int = Field(1, ge=1, le=64)
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    log_format: Literal["text", "json"] = "text"
    log_text: bool = False  # questions and answers in the log

    wechat_token: WechatToken | None = None
    wechat_appid: Credential | None = None
    wechat_secret: Credential | None = None
    wechat_aes_key: AesKey | None = None
    wechat_aes_key_previous: AesKey | None = None
    wechat_mode: Literal["plain", "compatible", "safe"] | None = None
    wechat_push: bool = False
    wechat_api_url: Url = "https://api.weixin.qq.com"
    wechat_replay_window: int = Field(300, ge=0, le=365 * 24 * 3600)  # seconds; 0 turns the check off
    wecom_corpid: Credential | None = None
    wecom_agentid: int | None = Field(None, ge=0, le=10**12)
    wecom_secret: Credential | None = None
    wecom_token: Credential | None = None
    wecom_aes_key: AesKey | None = None
    wecom_aes_key_previous: AesKey | None = None
    wecom_api_url: Url = "https://qyapi.weixin.qq.com"
    feishu_app_id: Credential | None = None
    feishu_app_secret: Credential | None = None
    feishu_encrypt_key: EncryptKey | None = None
    feishu_verification_token: Credential | None = None
    feishu_api_url: Url = "https://open.feishu.cn"  # Lark: https://open.larksuite.com
    dingtalk_app_secret: Credential | None = None
    dingtalk_api_url: Url = "https://oapi.dingtalk.com"  # what is elsewhere is sent no answers
    telegram_token: TelegramToken | None = None
    telegram_secret: TelegramSecret | None = None
    telegram_api_url: Url = "https://api.telegram.org"
    webhooks: dict[str, Webhook] = Field(default_factory=dict)

    page_title: PageTitle = "personal-lm"
    page_logo: PageLogo = None  # a picture; by default the project's own
    page_examples: PageExamples = None  # questions to begin with; by default some that the books answer
    page_contact: PageContact = ""  # whom the privacy page names

    admin_key: AdminKey | None = None  # turns /admin on
    retry_seconds: float = Field(5, ge=0.01, le=600)  # before a push or callback is tried again; doubles

    api_keys: Annotated[tuple[ApiKey, ...], NoDecode, BeforeValidator(read_api_keys)] = ()
    rate_limit: Annotated[Rates, NoDecode] = ()  # of everybody who has none of their own
    proxies: int = Field(0, ge=0, le=10)  # how many stand in front and say who called

    emergencies: WordList = ()  # words that are one, beside what the detector hears; "none": none in /v1
    forbidden: WordList = ()
    unsure: float = Field(1.31, ge=0)  # bits a byte; tests/bench/bench_unsure.py. 0: never unsure
    disclaimer: str = Field(DISCLAIMER, max_length=300)  # it shares one WeChat reply with the answer
    sampler: Literal["top-e", "top-p", "top-k", "min-p", "typical", "greedy", "wygpt"] = Field(
        CHAT.name  # type: ignore[arg-type]  # a method's name is one of these
    )
    temperature: float = Field(CHAT.temperature, gt=0, le=10)
    max_bytes: int = Field(1200, ge=16, le=20_000)
    context_bytes: int = Field(6000, ge=500, le=1_000_000)
    keep_days: float = Field(30, ge=0.01, le=3650)  # a message must outlive its retries
    keep_turns: int = Field(2000, ge=2, le=100_000)  # of a conversation
    engine_delay_ms: float = Field(0, ge=0, le=10_000)  # diagnostic: sleep this long before each character

    @model_validator(mode="before")
    @classmethod
    def _as_written(cls, data: dict[str, Any]) -> dict[str, Any]:
        """Without the space around a value, which counts in credentials alone."""
        read = dict(data)
        for name, value in data.items():
            if not isinstance(value, str) or CREDENTIAL.search(name) or name == "api_keys":
                continue
            try:
                if name not in FOR_PEOPLE:
                    read[name] = plain(value)
                elif complaint := marks_around(value.strip()):
                    raise ValueError(complaint)
            except ValueError as error:
                raise ValueError(f"PLM_{name.upper()}: {error}") from None
            if value.isspace() and name not in FOR_PEOPLE:  # as good as empty
                del read[name]
        if isinstance(read.get("log_level"), str):
            read["log_level"] = read["log_level"].upper()
        return read

    @model_validator(mode="before")
    @classmethod
    def _name_the_engine_once(cls, data: dict[str, Any]) -> dict[str, Any]:
        if "engine_urls" in data or os.environ.get("PLM_ENGINE_URLS"):
            raise ValueError(
                "PLM_ENGINE_URLS: is no more; write PLM_ENGINE_URL, one address (of a proxy, for several)"
            )
        return data

    @model_validator(mode="after")
    def _check_together(self) -> Settings:
        if self.wechat_push:
            for name in ("token", "appid", "secret"):
                if not getattr(self, f"wechat_{name}"):
                    raise ValueError(f"PLM_WECHAT_{name.upper()}: missing, and PLM_WECHAT_PUSH is set")
        if self.wechat_mode == "plain" and self.wechat_aes_key:
            raise ValueError(
                "PLM_WECHAT_MODE: plain contradicts PLM_WECHAT_AES_KEY: choose safe or compatible"
            )
        if self.wechat_mode in ("safe", "compatible") and not self.wechat_aes_key:
            raise ValueError(f"PLM_WECHAT_AES_KEY: missing, and PLM_WECHAT_MODE is {self.wechat_mode}")
        if self.wechat_aes_key_previous and not self.wechat_aes_key:
            raise ValueError("PLM_WECHAT_AES_KEY: missing, and PLM_WECHAT_AES_KEY_PREVIOUS is set")
        if self.wechat_aes_key and not self.wechat_appid:
            raise ValueError("PLM_WECHAT_APPID: missing, and encrypted messages (PLM_WECHAT_AES_KEY) need it")
        if self.wechat_aes_key and not self.wechat_token:
            raise ValueError("PLM_WECHAT_TOKEN: missing, and PLM_WECHAT_AES_KEY is set")
        return self

    @model_validator(mode="after")
    def _check_adapters(self) -> Settings:
        """All that a platform needs, or nothing of it."""
        for platform, needed in ADAPTERS.items():
            given = [name for name in needed if getattr(self, f"{platform}_{name}") is not None]
            for name in needed:
                if given and name not in given:
                    has = f"PLM_{platform}_{given[0]}".upper()
                    raise ValueError(f"PLM_{platform.upper()}_{name.upper()}: missing, and {has} is set")
        return self

    @model_validator(mode="after")
    def _check_webhook_names(self) -> Settings:
        """Only the file can get them wrong; another name would never be found."""
        for name in self.webhooks:
            if not WEBHOOK_NAME.fullmatch(name):
                raise ValueError(
                    f"PLM_CONFIG: [webhooks.{name}]: a name has small letters, digits and _ only"
                )
        return self

    @property
    def wechat_mode_in_force(self) -> Literal["plain", "compatible", "safe"]:
        """With a key and no mode chosen, only encrypted messages are let in."""
        return self.wechat_mode or ("safe" if self.wechat_aes_key else "plain")

    @property
    def adapters(self) -> list[str]:
        """The platforms beside WeChat that are set up."""
        return [name for name, needed in ADAPTERS.items() if getattr(self, f"{name}_{needed[0]}") is not None]

    @property
    def works_out_of_band(self) -> bool:
        """There are pushes or callbacks, and so task queues."""
        return bool(self.wechat_push or self.adapters or any(hook.url for hook in self.webhooks.values()))

    @property
    def emergency_words(self) -> tuple[str, ...]:
        """The owner's words."""
        return () if self.emergencies == ("none",) else self.emergencies

    @property
    def hears_emergencies_in_api(self) -> bool:
        """Also /v1/chat/completions answers with help. People are always heard."""
        return self.emergencies != ("none",)

    @property
    def is_public(self) -> bool:
        """The internet reaches this service, perhaps through a proxy that says nothing about itself."""
        return bool(self.wechat_token or self.webhooks or self.adapters)

    @property
    def model_file(self) -> str:
        """What Model.load() takes: a file of PLM_MODEL_DIR if it has one by that name, else the name or
        path."""
        return self.find_model(self.model)

    def find_model(self, name: str) -> str:
        if name == self.model_name:
            name = self.model
        if self.model_dir and (self.model_dir / f"{name}.safetensors").is_file():
            return str(self.model_dir / f"{name}.safetensors")
        return name

    @property
    def models(self) -> list[str]:
        """Names of the models that can be loaded: PLM_MODEL, those of PLM_MODEL_DIR, and the bundled ones."""
        return sorted({self.model_name, *model_names(self.model_dir)})

    @property
    def library_file(self) -> Path | None:
        """The one file whose texts are the library, if PLM_LIBRARY names a file."""
        return self.library if isinstance(self.library, Path) and self.library.is_file() else None

    @property
    def library_folder(self) -> Path | None:
        """Where the library lies; None if there is to be none."""
        if self.library == "none":
            return None
        if file := self.library_file:
            name = hashlib.sha256(str(file.absolute()).encode()).hexdigest()[:12]
            return self.data_dir / f"library-{name}"
        return self.library if isinstance(self.library, Path) else self.data_dir / "library"

    @property
    def own_url(self) -> str:
        """Where this machine finds the service."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)  # noqa: S104
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"

    @property
    def model_name(self) -> str:
        return Path(self.model).stem

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[Any, ...]:
        sources: list[Any] = [init_settings, env_settings, webhooks_from_environment]
        if file := os.environ.get("PLM_CONFIG"):
            sources.append(InitSettingsSource(settings_cls, read_file(file)))
        return tuple(sources)


def read_file(file: str) -> dict[str, Any]:
    """The settings of a TOML file, which may begin with a byte order mark. ConfigError."""
    try:
        return tomllib.loads(Path(file).expanduser().read_text("utf-8-sig"))
    except FileNotFoundError:
        raise ConfigError(f"PLM_CONFIG: no such file: {file}") from None
    except OSError as error:
        raise ConfigError(f"PLM_CONFIG: {file} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"PLM_CONFIG: {file} is not UTF-8: save it as UTF-8") from None
    except (ValueError, RuntimeError) as error:  # not TOML; ~somebody
        raise ConfigError(f"PLM_CONFIG: {file}: {error}") from None


def webhooks_from_environment() -> dict[str, Any]:
    """PLM_WEBHOOK_<NAME>_SECRET and _URL, as {"webhooks": {"<name>": {…}}}."""
    found: dict[str, dict[str, str]] = {}
    for variable, value in os.environ.items():
        if (match := WEBHOOK_VARIABLE.fullmatch(variable)) and value:
            found.setdefault(match[1].lower(), {})[match[2].lower()] = value
    return {"webhooks": found} if found else {}


def load_settings(**overrides: Any) -> Settings:
    """Read file and environment; raise ConfigError with one line on the first thing that is wrong."""
    file = os.environ.get("PLM_CONFIG")
    if os.environ.get("PLM_WEBHOOKS"):
        raise ConfigError("PLM_WEBHOOKS: there is no such variable; write PLM_WEBHOOK_<NAME>_SECRET and _URL")
    try:
        return Settings(**overrides)
    except ValidationError as error:
        raise ConfigError(one_line(error, Settings.model_fields, file)) from None


def unknown_variables() -> list[str]:
    """PLM_ variables that nothing reads: a typing mistake, or a setting of a later version."""
    known = {f"PLM_{name.upper()}" for name in Settings.model_fields} | ELSEWHERE
    return sorted(
        name
        for name in os.environ
        if name.startswith("PLM_") and name not in known and not WEBHOOK_VARIABLE.fullmatch(name)
    )
