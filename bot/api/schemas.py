"""The bodies of the OpenAI-compatible requests and answers. A token is a byte of UTF-8 here.

Fields that would change the text in a way that nothing here can do are refused unless they are neutral; those
that do not change it (`user`, `store`, `metadata` …) and unknown ones are ignored.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from bot.api.refusals import UNSUPPORTED, explained, why_no_content, why_no_prompt, why_no_stops

MAX_TOKENS = 16_384
MAX_CHOICES = 8
MAX_PROMPTS = 16
MAX_STOPS = 4
MAX_STOP = 200  # characters
MAX_TOP = 20
MAX_MESSAGES = 1000


def _within_limit(tokens: int) -> int:
    return MAX_TOKENS if tokens == -1 else min(tokens, MAX_TOKENS)


def _not_zero(tokens: int) -> int:
    if tokens == 0:
        raise ValueError("must be 1 or more, or -1 for as many as there may be")
    return tokens


StopText = Annotated[str, Field(min_length=1, max_length=MAX_STOP)]
Stops = StopText | Annotated[list[StopText], Field(max_length=MAX_STOPS)]
Prompts = str | Annotated[list[str], Field(min_length=1, max_length=MAX_PROMPTS)]
Top = Annotated[int, Field(ge=0, le=MAX_TOP)]
# -1 is how clients of llama.cpp say "as many as there may be".
Limit = Annotated[int, Field(ge=-1), AfterValidator(_within_limit)]
ChatLimit = Annotated[Limit, Field(json_schema_extra={"not": {"const": 0}}), AfterValidator(_not_zero)]
Off = Annotated[float, Field(ge=0, le=0, description="Not supported: 0 or absent."), UNSUPPORTED]
Nothing = Annotated[
    list[Any], Field(max_length=0, description="Not supported: empty or absent."), UNSUPPORTED
]
LIMIT = (
    f"At most so many bytes; by default the operator's (1200). {MAX_TOKENS} for more than that and for -1."
)


class StreamOptions(BaseModel):
    model_config = ConfigDict(strict=True)
    include_usage: bool | None = Field(None, description="One more chunk, with the usage, before the end.")


class TextFormat(BaseModel):
    model_config = ConfigDict(strict=True)
    type: Literal["text"]


class Asked(BaseModel):
    """What both kinds of requests have in common."""

    model_config = ConfigDict(strict=True)
    model: str = Field(max_length=200, description="One of /v1/models.")
    temperature: float | None = Field(
        None, ge=0, le=2, description="0 takes the likeliest byte; by default the operator's (0.7)."
    )
    top_p: float | None = Field(
        None, ge=0, le=1, description="Draw from the likeliest bytes that add up to it; by default top-e."
    )
    n: int | None = Field(None, ge=1, le=MAX_CHOICES)
    seed: int | None = Field(
        None,
        ge=-(2**63),
        le=2**63 - 1,
        description="The same seed gives the same text; choice i uses seed+i.",
    )
    stop: Annotated[Stops, explained(why_no_stops(MAX_STOPS, MAX_STOP))] | None = Field(
        None, description="The text ends before the first of these."
    )
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    frequency_penalty: Off | None = None
    presence_penalty: Off | None = None
    logit_bias: Annotated[dict[str, float], Field(max_length=0), UNSUPPORTED] | None = None

    @property
    def stops(self) -> tuple[str, ...]:
        return (self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ())

    @property
    def with_usage(self) -> bool:
        return bool(self.stream_options and self.stream_options.include_usage)


class TextPart(BaseModel):
    model_config = ConfigDict(strict=True)
    type: Literal["text"]
    text: str


class Message(BaseModel):
    model_config = ConfigDict(strict=True)
    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: Annotated[str | list[TextPart], explained(why_no_content)] | None = Field(
        None,
        validate_default=True,
        description="null, and read as empty, where an assistant called a tool.",
    )

    @field_validator("content")
    @classmethod
    def _said(cls, content: Any, info: ValidationInfo) -> Any:
        if content is None and info.data.get("role") not in (None, "assistant"):
            raise ValueError("must be a text, or a list of parts of text")
        return content

    @property
    def text(self) -> str:
        if isinstance(self.content, list):
            return "\n".join(part.text for part in self.content)
        return self.content or ""


class ChatRequest(Asked):
    messages: list[Message] = Field(
        min_length=1,
        max_length=MAX_MESSAGES,
        description="The last one is the user's. Texts of system, developer and tool messages are put before "
        "the next message of the user: the model reads them, but was not trained to follow them.",
    )
    max_tokens: ChatLimit | None = Field(None, description="The older name.")
    max_completion_tokens: ChatLimit | None = Field(None, description=LIMIT)
    library: bool | None = Field(
        None,
        description="true: answer from the library, by quotations with their sources; false: let the model "
        "write. By default from the library where there is one, unless logprobs or several choices are "
        "asked for, which the model alone has.",
    )
    logprobs: bool | None = None
    top_logprobs: Top | None = Field(None, description="Needs logprobs.")
    tools: Nothing | None = None
    functions: Nothing | None = None
    tool_choice: Annotated[Literal["none", "auto"], UNSUPPORTED] | None = None
    response_format: Annotated[TextFormat, UNSUPPORTED] | None = None
    modalities: Annotated[list[Literal["text"]], UNSUPPORTED] | None = None

    @property
    def limit(self) -> int | None:
        return self.max_completion_tokens or self.max_tokens


class CompletionRequest(Asked):
    prompt: Annotated[Prompts, explained(why_no_prompt(MAX_PROMPTS))] = Field(
        description="A text, or several."
    )
    max_tokens: Limit | None = Field(None, description=LIMIT)
    logprobs: Top | None = Field(None, description="Tell how likely each byte is, and so many others.")
    echo: bool | None = Field(None, description="Begin with the prompt, with its likelihoods if asked for.")
    best_of: Annotated[int, Field(ge=1, le=1), UNSUPPORTED] | None = None
    suffix: Annotated[str, Field(max_length=0), UNSUPPORTED] | None = None

    @property
    def prompts(self) -> list[str]:
        return [self.prompt] if isinstance(self.prompt, str) else self.prompt


class Usage(BaseModel):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class TopToken(BaseModel):
    token: str
    logprob: float
    bytes: list[int]


class ChatToken(TopToken):
    top_logprobs: list[TopToken]


class ChatLogprobs(BaseModel):
    content: list[ChatToken]
    refusal: None


class Cited(BaseModel):
    book: str
    heading: str
    quote: str = Field(description="The source's text between the two bytes.")
    start: int
    end: int


class Annotation(BaseModel):
    type: Literal["citation"]
    citation: Cited


class ChatAnswerMessage(BaseModel):
    role: Literal["assistant"]
    content: str
    refusal: None
    annotations: list[Annotation] = Field(description="The quotations that the content rests on.")


class ChatChoice(BaseModel):
    index: int
    message: ChatAnswerMessage
    logprobs: ChatLogprobs | None
    finish_reason: Literal["stop", "length"]


class Emergency(BaseModel):
    kind: str


class ChatAnswer(BaseModel):
    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    choices: list[ChatChoice]
    usage: Usage
    emergency: Emergency | None = Field(None, description="There if the answer is help in one.")


class TextLogprobs(BaseModel):
    tokens: list[str]
    token_logprobs: list[float]
    top_logprobs: list[dict[str, float]] | None
    text_offset: list[int]


class TextChoice(BaseModel):
    index: int
    text: str
    logprobs: TextLogprobs | None
    finish_reason: Literal["stop", "length"]


class CompletionAnswer(BaseModel):
    id: str
    object: Literal["text_completion"]
    created: int
    model: str
    choices: list[TextChoice]
    usage: Usage


class ModelCard(BaseModel):
    id: str
    object: Literal["model"]
    created: int
    owned_by: str


class ModelList(BaseModel):
    object: Literal["list"]
    data: list[ModelCard]
