"""What `init` asks: each answer from the command line, else from the terminal, else its default."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import typer

from proxy.commands.init import Answers
from proxy.config import REGION_NAMES
from proxy.errors import ConfigurationError
from proxy.secret import Secret

if TYPE_CHECKING:
    from pathlib import Path

MAX_SECRET_BYTES = 65_536


@dataclass(frozen=True, slots=True)
class Given:
    """What the command line says; None where it says nothing."""

    client_id: str | None = None
    account: str | None = None
    region: str | None = None
    client: str | None = None
    client_secret_file: Path | None = None
    refresh_token_file: Path | None = None


def answer_all(given: Given, *, asks: bool) -> Answers:
    """All of it. Raises `ConfigurationError` where something is missing that nobody may be asked for."""
    if not asks:
        missing = [
            option
            for option, value in (("--client-id", given.client_id), ("--client-secret-file", given.client_secret_file))
            if value is None
        ]
        if missing or given.client_id is None or given.client_secret_file is None:
            raise ConfigurationError((f"init: {' and '.join(missing)} must be given where nobody can be asked",))
        return Answers(
            given.client_id,
            read_secret("--client-secret-file", given.client_secret_file),
            _optional_secret(given),
            given.account or "main",
            given.region or "na",
            given.client or "",
        )
    return _ask(given)


def _ask(given: Given) -> Answers:
    typer.echo("Empty answers take what stands in brackets. Secrets are not shown while you paste them.", err=True)
    account = given.account or _line("A name for the account", "main")
    region = given.region
    while region not in REGION_NAMES:
        region = _line(f"Its home region ({', '.join(REGION_NAMES)})", "na").lower()
    client_id = given.client_id or _line("The client id of your Login with Amazon security profile")
    if given.client_secret_file is not None:
        client_secret = read_secret("--client-secret-file", given.client_secret_file)
    else:
        client_secret = Secret(_hidden("Its client secret").strip())
    token = _optional_secret(given)
    if token is None:
        pasted = _hidden("A refresh token, or nothing to sign in later", "").strip()
        token = Secret(pasted) if pasted else None
    client = given.client
    if client is None:
        client = _line("A tool that gets a key of its own (nothing: whoever is on this machine may call)", "")
    return Answers(client_id, client_secret, token, account, region, client)


def _line(question: str, default: str | None = None) -> str:
    answer: str = typer.prompt(question, default=default, show_default=bool(default), err=True)
    return answer.strip()


def _hidden(question: str, default: str | None = None) -> str:
    answer: str = typer.prompt(question, default=default, hide_input=True, show_default=False, err=True)
    return answer


def _optional_secret(given: Given) -> Secret | None:
    return read_secret("--refresh-token-file", given.refresh_token_file) if given.refresh_token_file else None


def read_secret(option: str, path: Path) -> Secret:
    """A file's text without its last line break. Raises `ConfigurationError`, which never shows it."""
    try:
        with path.open("rb") as file:
            text = file.read(MAX_SECRET_BYTES).decode("utf-8-sig").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "is not UTF-8 text"
        raise ConfigurationError((f"{option}: {path}: {reason}",)) from None
    return Secret(text)
