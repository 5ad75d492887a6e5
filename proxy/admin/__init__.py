"""The private listener: health, metrics, status, console and sign-in. Only the composition root imports it."""

from __future__ import annotations

from proxy.admin.application import make_admin
from proxy.admin.history import RequestHistory
from proxy.admin.invitations import InvitationHandlers, make_invitations
from proxy.admin.listener import AdminListener
from proxy.admin.view import (
    AccessRules,
    AdminView,
    ProgramView,
    SignInSource,
    ThrottleView,
    WorkerView,
)

__all__ = [
    "AccessRules",
    "AdminListener",
    "AdminView",
    "InvitationHandlers",
    "ProgramView",
    "RequestHistory",
    "SignInSource",
    "ThrottleView",
    "WorkerView",
    "make_admin",
    "make_invitations",
]
