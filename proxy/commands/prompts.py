"""What `init` and `account add` ask: each answer from the command line, else from the terminal, else its default.

Every answer is checked when it is given. A question is asked again after a wrong answer, and says why.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Generic, TypeVar

import typer

from proxy.config.checks.notes import CLIENT_ID_PREFIX, CLIENT_SECRET_PREFIX
from proxy.config.checks.rules import ANONYMOUS
from proxy.config.model.references import check_secret_text
from proxy.config.model.values import parse_list, parse_name, parse_profile_id, parse_region, parse_text
from proxy.errors import ConfigurationError
from proxy.regions import REGION_NAMES
from proxy.secret import Secret
from proxy.value_classes import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from pathlib import Path

MAX_SECRET_BYTES = 65_536
INTRODUCTION = "Press Enter for the value in brackets. Secrets are not shown while you paste them."

_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True)
class ProvidedAnswers:
    """What the command line says; None where it says nothing."""

    client_id: str | None = None
    account: str | None = None
    region: str | None = None
    client: str | None = None
    client_secret_file: Path | None = None
    refresh_token_file: Path | None = None
    profiles: str | None = None


@dataclass(frozen=True, slots=True)
class AccountAnswers:
    """What was asked for or given on the command line. Without a client every local program is trusted.

    Without a client secret, the account uses one that the configuration names already.
    """

    client_id: str
    client_secret: Secret | None
    refresh_token: Secret | None = None
    account: str = "main"
    region: str = "na"
    client: str = ""
    profiles: tuple[str, ...] = ()
    """The profiles that the client may use; empty means all."""


@dataclass(frozen=True, slots=True)
class ExistingAccounts:
    """What a configuration has already: `names` that are taken, its home region, and its applications by client id.

    `shares_secret` are the client ids whose secret is written in a way that another account can use as well.
    """

    names: Collection[str] = ()
    region: str = "na"
    client_ids: tuple[str, ...] = ()
    shares_secret: Collection[str] = ()


@dataclass(frozen=True, slots=True)
class Prompt(Generic[_Value]):
    """A question, the option that answers it beforehand, and the check of an answer, which raises `ValueError`."""

    option: str
    text: str
    check: Callable[[str], _Value]
    default: str = ""


def answer_all(given: ProvidedAnswers, *, asks: bool) -> AccountAnswers:
    """The answers of `init`. Raises `ConfigurationError` for a wrong option, or a missing one without a terminal."""
    answers = answer_account(given, ExistingAccounts(), asks=asks)
    client = _line(CLIENT, given.client, asks=asks)
    if given.profiles and not client:
        raise ConfigurationError(("--profiles: needs a client; name it with --client",))
    profiles = _line(PROFILES, given.profiles, asks=asks and bool(client))
    return replace(answers, client=client, profiles=profiles)


def answer_account(given: ProvidedAnswers, known: ExistingAccounts, *, asks: bool) -> AccountAnswers:
    """What an account needs. Raises `ConfigurationError` as `answer_all` does."""
    if asks:
        typer.echo(INTRODUCTION, err=True)
    else:
        _require(given, known)
    name = Prompt("--account", "A name for the account", lambda text: check_account(text, known.names), default="main")
    account = _line(name, given.account, asks=asks)
    region = _line(replace(REGION, default=known.region), given.region, asks=asks)
    default_id = known.client_ids[0] if len(known.client_ids) == 1 else ""
    client_id = _line(replace(CLIENT_ID, default=default_id), given.client_id, asks=asks)
    secret = None
    if given.client_secret_file is not None or client_id not in known.shares_secret:
        secret = _secret(CLIENT_SECRET, given.client_secret_file, asks=asks)
    token = _secret(REFRESH_TOKEN, given.refresh_token_file, asks=asks)
    return AccountAnswers(client_id, secret, token, account, region)


def check_account(text: str, taken: Collection[str] = ()) -> str:
    """An account's name. Raises `ValueError`, as all checks here do, with what is wrong and what to do."""
    name = parse_name(text)
    if name.lower() in REGION_NAMES:
        raise ValueError("is the name of a region; choose another name")
    if name in taken:
        raise ValueError("is the name of an account or a route already; choose another name")
    return name


def check_client_id(text: str) -> str:
    client_id = parse_text(text)
    if client_id.startswith(CLIENT_SECRET_PREFIX):
        raise ValueError(f"is a client secret; a client id begins with {CLIENT_ID_PREFIX}")
    return client_id


def check_client_secret(text: str) -> str:
    secret = check_secret_text(text)
    if secret.startswith(CLIENT_ID_PREFIX):
        raise ValueError(f"is a client id; a client secret begins with {CLIENT_SECRET_PREFIX}")
    return secret


def check_refresh_token(text: str) -> str:
    """Nothing is an answer: it means to sign in later."""
    token = check_secret_text(text) if text else text
    if token.startswith("Atza|"):
        raise ValueError("is an access token; a refresh token begins with Atzr|")
    return token


def check_client(text: str) -> str:
    """Nothing is an answer: it means no client."""
    if text == ANONYMOUS:
        raise ValueError("is the name of clients without a key; choose another name")
    return parse_name(text) if text else ""


def check_profiles(text: str) -> tuple[str, ...]:
    return tuple(map(parse_profile_id, parse_list(text)))


REGION = Prompt("--region", f"Its home region ({', '.join(REGION_NAMES)})", parse_region, "na")
CLIENT_ID = Prompt("--client-id", "The client id of your Login with Amazon security profile", check_client_id)
CLIENT_SECRET = Prompt("--client-secret-file", "Its client secret", check_client_secret)
REFRESH_TOKEN = Prompt("--refresh-token-file", "A refresh token, or nothing to sign in later", check_refresh_token)
CLIENT = Prompt(
    "--client",
    "A client that gets a key of its own (nothing: every program on this machine may use the proxy)",
    check_client,
)
PROFILES = Prompt("--profiles", "The profiles that it may use, ids separated by commas (nothing: all)", check_profiles)


def _require(given: ProvidedAnswers, known: ExistingAccounts) -> None:
    """Raise `ConfigurationError` if a required option is missing."""
    needed = [("--client-id", given.client_id)]
    if given.client_id not in known.shares_secret:
        needed.append(("--client-secret-file", str(given.client_secret_file or "") or None))
    if missing := [option for option, value in needed if value is None]:
        raise ConfigurationError(
            (f"{' and '.join(missing)}: missing, and there is no terminal to ask on; add the options",)
        )


def _line(prompt: Prompt[_Value], value: str | None, *, asks: bool) -> _Value:
    """What the option says, else what is answered, else the default."""
    if value is None and asks:
        return _until_right(prompt)
    try:
        return prompt.check(prompt.default if value is None else value)
    except ValueError as error:
        raise ConfigurationError((f"{prompt.option}: {error}",)) from None


def _secret(prompt: Prompt[str], file: Path | None, *, asks: bool) -> Secret | None:
    """Read a secret from a file or from a prompt that shows no input; None for an empty one."""
    if file is not None:
        try:
            text = prompt.check(read_secret(prompt.option, file).reveal())
        except ValueError as error:
            raise ConfigurationError((f"{prompt.option}: {file}: {error}",)) from None
    else:
        text = _until_right(prompt, hidden=True) if asks else ""
    return Secret(text) if text else None


def _until_right(prompt: Prompt[_Value], *, hidden: bool = False) -> _Value:
    default = prompt.default
    while True:
        answer: str = typer.prompt(
            prompt.text, default=default, hide_input=hidden, show_default=bool(default), err=True
        )
        try:
            return prompt.check(answer.strip())
        except ValueError as error:
            typer.echo(f"  This {error}.", err=True)


def read_secret(option: str, path: Path) -> Secret:
    """A file's text without its last line break. Raises `ConfigurationError`, which never shows it."""
    try:
        with path.open("rb") as file:
            text = file.read(MAX_SECRET_BYTES).decode("utf-8-sig").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "is not UTF-8 text"
        raise ConfigurationError((f"{option}: {path}: {reason}",)) from None
    return Secret(text)
