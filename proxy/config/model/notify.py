"""The section about telling people: where notices go, and what signs them."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Field

from proxy.config.model.kinds import FilledText, KeyValue, WebhookUrl
from proxy.config.model.section import Section
from proxy.config.model.values import parse_list


class NotifySection(Section):
    """Who is told that somebody must sign in, or that a consent ends."""

    webhook: Annotated[
        WebhookUrl | None,
        Field(
            description="Where notices are posted as JSON; a secret, as the address often holds one. Absent: nowhere."
        ),
    ] = None
    secret: Annotated[
        KeyValue | None, Field(description="What signs them (HMAC-SHA256), 16 bytes or more. Absent: unsigned.")
    ] = None
    command: Annotated[
        tuple[FilledText, ...],
        BeforeValidator(parse_list),
        Field(description="A program and its arguments, which gets each notice on its standard input."),
    ] = ()
