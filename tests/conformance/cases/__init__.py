"""All cases, theme by theme. Each module holds data only; their words are in `build`."""

from __future__ import annotations

from tests.conformance.case import Case
from tests.conformance.cases import (
    answers_chunks,
    answers_framing,
    answers_heads,
    both_framings,
    chunks,
    connection,
    content_length,
    deaths,
    fields,
    host,
    limits,
    methods,
    pipelining,
    request_line,
    targets,
    trailers,
    transfer_encoding,
    versions,
)

THEMES = (
    request_line,
    versions,
    targets,
    host,
    fields,
    content_length,
    transfer_encoding,
    both_framings,
    chunks,
    trailers,
    connection,
    pipelining,
    methods,
    limits,
    answers_framing,
    answers_chunks,
    answers_heads,
    deaths,
)
CASES: tuple[Case, ...] = tuple(case for theme in THEMES for case in theme.CASES)
