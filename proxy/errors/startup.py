"""What ends the program before it serves, or a command before it has done what it is for."""

from __future__ import annotations

from proxy.errors.root import AdsProxyError


class StartupError(AdsProxyError):
    """Ends the program before it serves; the message is one line that says what to do."""

    exit_code: int = 1


class ConfigurationError(StartupError):
    """All problems of a configuration at once, each with its path: `accounts.acme.region: is not one of ...`.

    They say what is expected there, and never what was written: it may be a secret in the wrong place.
    """

    exit_code = 2

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class ListenError(StartupError):
    """An address that cannot be listened on, most often because another program holds it."""


class StateError(StartupError):
    """A state store that cannot be used safely: unreadable, another key, or a directory that others can read."""


class StateUnavailable(StateError):
    """A state store that is away, slow, full or read-only for now: everything goes on without it, and tries again."""


class StateFileDamaged(StateError):
    """What is kept of one account is damaged, of an unknown form, or encrypted with another key than the rest."""
