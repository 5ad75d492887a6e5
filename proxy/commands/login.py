"""`login`: Sign in to Amazon for an account.

It prints the sign-in address and reads the address where the browser landed, or only the code, from standard input. The
state store keeps the refresh token. A working login stays in use until the new one was tried and compared with it.

Example: ads-proxy login acme --config proxy.yaml
"""

from __future__ import annotations

import asyncio
import re
import secrets
import sys
import time
import webbrowser
from dataclasses import field
from typing import TYPE_CHECKING, Annotated
from urllib.parse import parse_qs

import typer

from proxy.commands.cli_options import ConfigOption, EnvFileOption
from proxy.commands.completion import account_names
from proxy.commands.terminal import FAILED, OK, complain, say, tell
from proxy.config import StateKind, environment, load
from proxy.config.model.key_names import did_you_mean
from proxy.errors import ConfigurationError, RefreshTokenRevoked, StateError, TokenFailure
from proxy.profiles.replacement import (
    STREAMS,
    Comparison,
    GrantedProfiles,
    ReachedProfile,
    Replacement,
    compare,
    stream_note,
)
from proxy.regions import REGION_NAMES
from proxy.secret import Secret
from proxy.tokens.store import signed_in
from proxy.value_classes import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from proxy.commands.amazon_session import AccountFinding, AmazonSession, RegionListing
    from proxy.config import Account, Config
    from proxy.tokens.token_response import Grant


_CODE = re.compile(r"[A-Za-z0-9._~|+/=-]{4,2048}")


def login(
    account: Annotated[
        str,
        typer.Argument(
            metavar="ACCOUNT",
            help="The account's name; `default` without a configuration file.",
            autocompletion=account_names,
        ),
    ],
    browser: Annotated[bool, typer.Option(help="Open a browser, if there is one.")] = True,
    replace: Annotated[bool, typer.Option("--replace", help="Accept the new login even if it loses profiles.")] = False,
    config: ConfigOption = None,
    env_file: EnvFileOption = None,
) -> int:
    environ = environment(env_file)
    return sign_in(load(config, environ), account, environ, browser=browser, insists=replace)


class SignInRefused(Exception):
    """What was pasted is no permission; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class SignIn:
    """A sign-in that waits for its answer."""

    account: Account
    url: str = field(repr=False)
    state: str = field(repr=False)
    code_verifier: Secret
    insists: bool = False
    """The new login is taken over whatever it lacks."""


def sign_in(config: Config, name: str, environ: Mapping[str, str], *, browser: bool, insists: bool) -> int:
    """Sign in for the account and keep its refresh token; 1 where that did not work."""
    account = find_account(config, name, "login")
    if config.state.kind is StateKind.MEMORY:
        complain("state.url: memory: would lose the refresh token at once; set state.url: file:DIR, then sign in")
        return FAILED
    started = start(config, account, insists=insists)
    tell(f"Sign in to Amazon for the account '{name}' at this address, and allow access:\n")
    say(started.url)
    sys.stdout.flush()
    tell(
        f"\nThe browser then goes to {account.redirect_uri}?code=... Whatever it shows there, even an error: "
        "copy the address from its address bar."
    )
    has_browser = any(environ.get(key) for key in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"))
    if browser and (has_browser or sys.platform in ("darwin", "win32")):
        webbrowser.open(started.url)
    tell("Paste that address (or its code alone) here and press Enter. It expires after 5 minutes.")
    try:
        code = read_answer(sys.stdin.readline(), started.state)
    except SignInRefused as refusal:
        complain(str(refusal))
        return FAILED
    return asyncio.run(_finish(config, started, code))


def find_account(config: Config, name: str, command: str) -> Account:
    """The account of that name; `ConfigurationError` in the words of the command."""
    account = config.accounts.get(name)
    if account is None:
        suggestion = did_you_mean(name, config.accounts) or f"; the accounts are: {', '.join(config.accounts)}"
        raise ConfigurationError((f"{command}: unknown account{suggestion}",))
    return account


def start(config: Config, account: Account, *, insists: bool = False) -> SignIn:
    """The address of the sign-in page, with a random state."""
    from proxy.tokens.lwa import AuthorizationRequest, sign_in_url

    state, verifier = secrets.token_urlsafe(24), Secret(secrets.token_urlsafe(32))
    page = config.regions[account.region].auth_grant_url
    request = AuthorizationRequest(account.client_id, account.scopes, account.redirect_uri, state, verifier)
    return SignIn(account, sign_in_url(page, request), state, verifier, insists)


def read_answer(pasted: str, state: str) -> Secret:
    """The code in what was pasted: the landing address, or the code alone. Raises `SignInRefused`."""
    text = pasted.strip().strip("\"'<>")
    if not text:
        raise SignInRefused("no address or code was pasted; run the command again")
    if text.startswith(("Atzr|", "Atza|")):
        raise SignInRefused(
            "that is a token, not a code; set a refresh token (Atzr|...) as the account's refresh_token, or as "
            "AMAZON_ADS_REFRESH_TOKEN: it needs no sign-in"
        )
    if not re.match(r"https?://|[/?]|.*[?&](code|error)=", text):
        if not _CODE.fullmatch(text):
            raise SignInRefused("that is neither an address nor a code; copy the whole address from the address bar")
        return Secret(text)
    query = parse_qs(text.partition("?")[2].partition("#")[0])
    if "error" in query:
        raise SignInRefused(_explain_denial(query["error"][0], query.get("error_description", [""])[0]))
    if "code" not in query:
        raise SignInRefused(
            "that address holds no code=...; copy the address that Amazon sent the browser to afterwards"
        )
    if query.get("state", [state])[0] != state:
        raise SignInRefused(
            "that address belongs to another sign-in; run the command again and use the address that it prints"
        )
    return Secret(query["code"][0])


def _explain_denial(error: str, description: str) -> str:
    shown = re.sub(r"[^\x20-\x7e]", "?", description or error)[:200].rstrip(".")
    if error == "access_denied":
        return "access was denied on Amazon's page; run the command again and choose Allow"
    return f"Amazon refused: {shown}; check the scopes and the client id of this account"


async def _finish(config: Config, started: SignIn, code: Secret) -> int:
    from proxy.commands.amazon_session import credentials, open_session, token_url, try_account

    account = started.account
    async with open_session(config) as amazon:
        try:
            grant = await amazon.lwa.exchange(
                token_url(config, account), credentials(account), code, account.redirect_uri, started.code_verifier
            )
        except RefreshTokenRevoked as failure:
            complain(
                f"{failure.detail.rstrip('.')}; a code works only for the client id and the "
                "redirect_uri in the address "
                "above; run the command again"
            )
            return FAILED
        except TokenFailure as failure:
            advice = failure.advice.replace("ACCOUNT", account.name)
            complain(f"could not exchange the code for tokens: {failure.detail.rstrip('.')}. {advice}")
            return FAILED
        if grant.refresh_token is None:
            complain("Amazon sent no refresh token; run the command again")
            return FAILED
        if not await may_replace(amazon, account, grant, started.insists):
            return FAILED
        try:
            await amazon.store.write(
                account.name, signed_in(grant.refresh_token, account.refresh_tokens[0], time.time())
            )
        except StateError as error:
            complain(f"could not save the refresh token: {error}")
            return FAILED
        say(f"'{account.name}' is connected; its refresh token is kept in the state store")
        return _report(await try_account(amazon, account))


def _report(finding: AccountFinding) -> int:
    """What the new token can reach; trouble here does not undo the sign-in."""
    if finding.problem:
        complain(f"signed in, but got no access token: {finding.problem.rstrip('.')}. {finding.advice}")
    if finding.unsaved:
        complain(finding.unsaved)
    say_what_it_reaches(finding.listings)
    return OK


# --- What `login` asks before a login that works gives way -----------------------------------------------

MAX_SHOWN = 10


async def may_replace(amazon: AmazonSession, account: Account, grant: Grant, insists: bool) -> bool:
    """Whether the new login may be used; prints why not. Until then nothing has changed.

    Where the present login does not work, or none of its profiles is known, there is nothing to lose.
    """
    from proxy.commands.amazon_session import list_region, try_account, user_of

    present, listings, user = await asyncio.gather(
        try_account(amazon, account),
        asyncio.gather(*(list_region(amazon, account, region, grant.access_token) for region in REGION_NAMES)),
        user_of(amazon, account, grant.access_token),
    )
    known = tuple(_reached(account.name, present.listings))
    granted = GrantedProfiles(
        tuple(_reached(account.name, listings)),
        {listing.region: listing.problem for listing in listings if listing.problem},
        user != present.user if user and present.user else None,
    )
    comparison = compare(known, granted) if known and not present.problem else Comparison(Replacement.AT_ONCE)
    for line in describe_comparison(comparison):
        tell(line)
    if present.origin and present.problem:
        tell(f"The present login does not work, so its user is unknown. If it was another person's: {STREAMS}")
    return decide(comparison.decision, insists, sys.stdin.readline)


def decide(decision: Replacement, insists: bool, read_line: Callable[[], str]) -> bool:
    """Whether it is taken over: at once, after a `yes`, or only where one insists."""
    if decision is Replacement.AT_ONCE or insists:
        return True
    if decision is Replacement.INSIST:
        complain("the present login stays in use; to replace it anyway, run the command again with --replace")
        return False
    tell("Type yes and press Enter to use the new login anyway; anything else keeps the present one.")
    if read_line().strip().lower() == "yes":
        return True
    complain("the present login stays in use")
    return False


def describe_comparison(comparison: Comparison) -> Iterator[str]:
    """What would be gone and what would be new, and who that most likely is."""
    if comparison.gained:
        yield f"New with this login: {_named(comparison.gained)}."
    if comparison.lost:
        yield f"Lost with this login: {_named(comparison.lost)}."
    if comparison.uncertain:
        yield f"Could not list the profiles of {', '.join(comparison.uncertain)}."
    if comparison.decision is Replacement.INSIST:
        yield (
            f"It reaches none of the {comparison.known} profiles of the present login: most likely it "
            "belongs to another "
            "user."
        )
    if note := stream_note(comparison):
        yield note


def _named(profiles: tuple[ReachedProfile, ...]) -> str:
    shown = ", ".join(f"{profile.id} {profile.name} ({profile.region})" for profile in profiles[:MAX_SHOWN])
    more = len(profiles) - MAX_SHOWN
    return f"{shown} and {more} more" if more > 0 else shown


def _reached(account: str, listings: Iterable[RegionListing]) -> Iterator[ReachedProfile]:
    for listing in listings:
        for profile in listing.profiles:
            yield ReachedProfile.of(account, listing.region, profile)


def say_what_it_reaches(listings: Iterable[RegionListing]) -> None:
    """A line for each region."""
    for listing in listings:
        say(f"  {listing.region}: {listing.problem or _count(listing)}")


def _count(listing: RegionListing) -> str:
    shown = ", ".join(profile.id for profile in listing.profiles[:5])
    count = len(listing.profiles)
    if not count:
        return "no profiles"
    return f"{count} profiles ({shown}{', ...' if count > 5 else ''})"
