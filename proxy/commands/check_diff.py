"""`check --diff`: which consents a changed configuration makes void, said before it is put in force. Asks nobody."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.commands.terminal import FAILED, OK, complain, say

if TYPE_CHECKING:
    from collections.abc import Iterator

    from proxy.config import Account, Config


def print_difference(old: Config, new: Config) -> int:
    """A sentence for each consent that would be lost; 1 where there is one."""
    void = [*void_consents(old, new)]
    for sentence in void:
        complain(sentence)
    for sentence in harmless_changes(old, new):
        say(sentence)
    if void:
        return FAILED
    say("No consent is lost by this change.")
    return OK


def void_consents(old: Config, new: Config) -> Iterator[str]:
    """Accounts whose advertiser would have to consent anew. Pure.

    A refresh token is worth something to the application that it was granted to alone (docs/amazon.md, Client id).
    """
    for name, before in old.accounts.items():
        after = new.accounts.get(name)
        if after is None:
            yield f"accounts.{name}: is gone or has another name; a login that the state store has of it is not used"
        elif before.client_id != after.client_id:
            if after.refresh_token is not None and after.refresh_token != before.refresh_token:
                yield (
                    f"accounts.{name}.client_id: is another application; its login is void, and the new refresh_token "
                    "takes its place: make sure that it was granted to that application"
                )
            else:
                yield (
                    f"accounts.{name}.client_id: is another application; its consent is void, and the advertiser has "
                    f"to give a new one: `ads-proxy login {name}` or `ads-proxy invite {name}`"
                )
        elif before.refresh_token is not None and after.refresh_token is None:
            yield f"accounts.{name}.refresh_token: is gone; unless the state store has a login of it, sign in again"
    if old.state.url != new.state.url:
        yield "state.url: is another store; logins that are kept in the old one alone are not used: copy it, or sign in"


def harmless_changes(old: Config, new: Config) -> Iterator[str]:
    """What changes of an application without costing a consent, as far as is known. Pure."""
    for name, before in old.accounts.items():
        after = new.accounts.get(name)
        if after is None or before.client_id != after.client_id:
            continue
        if before.secrets != after.secrets:
            yield f"accounts.{name}.client_secret: changes; {_kept(before, after)}"
        if {*after.scopes} - {*before.scopes}:
            yield f"accounts.{name}.scopes: asks for more, which holds from the next sign-in on"


def _kept(before: Account, after: Account) -> str:
    if before.secrets[0] in after.secrets:
        return "the present one is kept beside it, so nothing is interrupted"
    return (
        "refresh tokens are believed to survive that. Keep the present one as the second of a list until Amazon takes "
        "the new one"
    )
