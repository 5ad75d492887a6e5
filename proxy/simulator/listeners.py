"""What each listener serves: the Ads API with Login with Amazon and MCP beside it, and S3."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from proxy.simulator import lwa, mcp, playground, s3, signin
from proxy.simulator.answers import Answer, error_at, request_ids
from proxy.simulator.api import respond
from proxy.simulator.calls import BodyUnreadable, Call, CallRefused
from proxy.simulator.checks import Caller, Refusal, check_host
from proxy.simulator.examination import examine
from proxy.simulator.exchange import Decision, Visit, arrive, carry_out

if TYPE_CHECKING:
    from aiohttp import web

    from proxy.simulator.operations import Operation
    from proxy.simulator.state import SimulatorState


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a handler knows of the addresses. `s3_host` None: the host name by which the API was addressed."""

    scheme: str
    s3_host: str | None
    s3_port: int

    def s3_url(self, api_host: str) -> str:
        """S3 as seen from a caller that reached the API at `api_host`."""
        name = self.s3_host or (api_host if api_host.endswith("]") else api_host.rpartition(":")[0] or api_host)
        return f"http://{name}:{self.s3_port}"


async def serve_api(
    state: SimulatorState, region: str, around: Surroundings, request: web.BaseRequest
) -> web.StreamResponse:
    """Any request to one of the API's ports."""
    path = request.raw_path.partition("?")[0]
    if path == lwa.PATH:
        return await serve_lwa(arrive(state, "lwa", region, request))
    if path == signin.PATH:
        return await serve_sign_in(arrive(state, "sign-in", region, request))
    if path in mcp.PATHS:
        return await serve_mcp(arrive(state, "mcp", region, request), region)
    visit = arrive(state, "api", region, request)
    operation = state.operations.find(request.method, visit.path)
    caller = wrong_host(visit) or examine(state, region, visit.path, visit.head, operation)
    counted = operation.template if operation else visit.path
    if isinstance(caller, Refusal):
        return await refuse(visit, caller, counted)

    async def decide() -> Answer:
        return (await answer_api(visit, around, caller, operation)).with_headers(*request_ids())

    return await carry_out(visit, Decision(decide, counted))


async def answer_api(visit: Visit, around: Surroundings, caller: Caller, operation: Operation | None) -> Answer:
    """The API's own answer to a request that passed the checks."""
    if visit.path.startswith("/sim/"):
        return await playground.play(visit.request, visit.path, visit.query)
    call = Call(
        state=visit.state,
        region=visit.region or "",
        method=visit.request.method,
        path=visit.path,
        query=visit.query,
        head=visit.head,
        operation=operation,
        caller=caller,
        body=await visit.body(),
        api_url=f"{around.scheme}://{visit.host()}",
        s3_url=around.s3_url(visit.host()),
    )
    try:
        return respond(call)
    except CallRefused as error:
        refusal = error.refusal
    except BodyUnreadable as error:
        refusal = Refusal(400, "body", "INVALID_ARGUMENT", str(error))
    visit.state.ledger.refused(visit.record, refusal.status, refusal.kind, refusal.reason)
    return error_at(visit.path, refusal.status, refusal.code, refusal.details)


def wrong_host(visit: Visit) -> Refusal | None:
    """The refusal of a Host that is not this listener's."""
    transport = visit.request.transport
    if transport is None or not visit.state.settings.strict_host:
        return None
    return check_host(visit.head, transport.get_extra_info("sockname")[1])


async def refuse(visit: Visit, refusal: Refusal, path: str) -> web.StreamResponse:
    """Answers a request that broke a rule, and says so in the ledger."""
    visit.state.ledger.refused(visit.record, refusal.status, refusal.kind, refusal.reason)

    async def decide() -> Answer:
        answer = error_at(visit.path, refusal.status, refusal.code, refusal.details)
        return answer.with_headers(*request_ids())

    return await carry_out(visit, Decision(decide, path, refused=True))


async def serve_lwa(visit: Visit) -> web.StreamResponse:
    """The token endpoint. Its errors are not refusals: they are counted by result."""

    async def decide() -> Answer:
        return lwa.answer_token_request(visit.state, visit.request.method, visit.head, await visit.body())

    return await carry_out(visit, Decision(decide, lwa.PATH))


async def serve_sign_in(visit: Visit) -> web.StreamResponse:
    """The sign-in page, which a person's browser visits."""

    async def decide() -> Answer:
        return signin.answer_sign_in(visit.state, visit.request.method, visit.query, await visit.body())

    return await carry_out(visit, Decision(decide, signin.PATH))


async def serve_mcp(visit: Visit, region: str) -> web.StreamResponse:
    """The hosted MCP endpoint."""
    caller = wrong_host(visit) or mcp.examine_mcp(visit.state, region, visit.head)
    if isinstance(caller, Refusal):
        return await refuse(visit, caller, visit.path)

    async def decide() -> Answer:
        request = (visit.request.method, await visit.body())
        return mcp.answer_mcp(visit.state, region, caller.user, visit.head, request)

    return await carry_out(visit, Decision(decide, visit.path))


async def serve_s3(state: SimulatorState, request: web.BaseRequest) -> web.StreamResponse:
    """Any request to S3."""
    visit = arrive(state, "s3", None, request)
    refusal = s3.check(state, request.method, request.raw_path, visit.head)
    if refusal is not None:
        state.ledger.refused(visit.record, refusal.status, refusal.kind, refusal.reason)

    async def decide() -> Answer:
        if refusal is not None:
            return s3.xml_error(refusal)
        return await s3.store(request) if request.method == "PUT" else s3.fetch(state, visit.path)

    return await carry_out(visit, Decision(decide, "s3 object", refused=refusal is not None))
