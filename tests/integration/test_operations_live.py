"""Every operation of the table over sockets, as a free, a writing, a reading, a reporting, a limited and a spending
client: who reaches Amazon with it, and with which headers.

What is right is read from the table's cells, without the code that is tried.
"""

from __future__ import annotations

import csv
import hashlib
import http.client
import json
import re
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from proxy.simulator.ads_accounts import account_id
from tests.support.patience import PATIENCE
from tests.support.running import Serving, SimulatedAmazon, serving, simulated_amazon

pytestmark = pytest.mark.integration

SCOPE, MANAGER = "Amazon-Advertising-API-Scope", "Amazon-Ads-Manager-AccountId"
PROFILE = "1110000000000001"
ADS_ACCOUNT = "amzn1.ads-account.g.eu"
ACCESS = {
    "free": {"read", "report", "write", "administers"},
    "writer": {"read", "report", "write"},
    "reporter": {"read", "report"},
    "reader": {"read"},
}
"""What of the table each client without limits on accounts may send."""


def rows() -> list[dict[str, str]]:
    text = resources.files("proxy.routing").joinpath("operations.tsv").read_text("ascii")
    return list(csv.DictReader((line for line in text.splitlines() if not line.startswith("#")), delimiter="\t"))


ROWS = rows()


def key_of(client: str) -> str:
    return f"the key of {client}, long enough"


@pytest.fixture(scope="module")
def amazon() -> Iterator[SimulatedAmazon]:
    with simulated_amazon() as started:
        yield started


@pytest.fixture(scope="module")
def running(amazon: SimulatedAmazon, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    limits: dict[str, dict[str, Any]] = {
        "free": {"access": "admin"},
        "writer": {"access": "write"},
        "reporter": {"access": "report"},
        "reader": {"access": "read"},
        "profiled": {"access": "admin", "profiles": ["11"]},
        "accounted": {"access": "admin", "account_ids": [ADS_ACCOUNT]},
        "spender": {"access": "admin", "spend": {}},
    }
    clients = [
        {"name": name, "key_sha256": hashlib.sha256(key_of(name).encode()).hexdigest(), **more}
        for name, more in limits.items()
    ]
    folder: Path = tmp_path_factory.mktemp("operations")
    configuration = amazon.configuration(accounts={"acme": amazon.account()}, clients=clients)
    with serving(folder, configuration) as started:
        started.until_listed("acme")
        yield started


def path_of(row: dict[str, str]) -> str:
    return re.sub(r"{[^{}]*}", "x1", row["path"])


def statuses(running: Serving, client: str, headers: dict[str, str]) -> dict[str, int]:
    """How each row is answered, by its method and path: 403 and 503 are the proxy's, as the simulator has neither."""
    connection = http.client.HTTPConnection(running.netloc, timeout=PATIENCE)
    found = {}
    for row in ROWS:
        sent = {"X-Ads-Proxy-Key": key_of(client), "Content-Type": "application/json", **headers}
        connection.request(row["method"], path_of(row), b"{}" if row["method"] != "GET" else None, sent)
        response = connection.getresponse()
        response.read()
        found[f"{row['method']} {row['path']}"] = 403 if response.getheader("Proxy-Status") else 200
    connection.close()
    return found


def expected(reaches: dict[str, bool]) -> dict[str, int]:
    return {name: 200 if reached else 403 for name, reached in reaches.items()}


@pytest.mark.parametrize("client", ACCESS)
def test_access_decides_by_the_cells_of_the_table(running: Serving, client: str) -> None:
    """Its effect, and whether it administers something."""
    kinds = {
        f"{row['method']} {row['path']}": row["effect"] if row["administers"] == "-" else "administers" for row in ROWS
    }
    assert statuses(running, client, {}) == expected({name: kind in ACCESS[client] for name, kind in kinds.items()})


def is_closed(row: dict[str, str]) -> bool:
    """Whether the path, or what no source shows, keeps limited clients out."""
    names = "".join(re.findall(r"{([^}]*)}", row["path"])).lower()
    named = re.search(r"accountid|advertiserid|entityid|manageraccount|instanceid|profileid|marketplaceid", names)
    return row["scope"] == "unknown" or row["path"].split("/")[1] in ("amc", "accounts") or bool(named)


def test_a_client_of_one_profile_reaches_what_takes_its_scope(running: Serving) -> None:
    """And nothing whose headers no source shows."""
    reaches = {f"{row['method']} {row['path']}": row["scope"] != "never" and not is_closed(row) for row in ROWS}
    assert statuses(running, "profiled", {SCOPE: "11"}) == expected(reaches)


def test_a_client_of_one_ads_account_reaches_what_takes_its_id(running: Serving) -> None:
    """In the spelling of the row; of reports the body would have to name it."""
    spelled = [row for row in ROWS if row["account_header"] == "Amazon-Ads-AccountId"]
    taken = {f"{row['method']} {row['path']}" for row in spelled if not is_closed(row)}
    reaches = {name: name in taken for name in (f"{row['method']} {row['path']}" for row in ROWS)}
    assert statuses(running, "accounted", {"Amazon-Ads-AccountId": ADS_ACCOUNT}) == expected(reaches)


def test_what_administers_is_within_no_limits_on_spending(running: Serving) -> None:
    """A client with limits and `access: admin` sends none of it; all reads and reports pass."""
    found = statuses(running, "spender", {})
    for row in ROWS:
        name = f"{row['method']} {row['path']}"
        if row["administers"] != "-":
            assert found[name] == 403, name
        elif row["effect"] != "write":
            assert found[name] == 200, name


@pytest.mark.parametrize("path", ["/adsApi/v1/dealPerformances", "/adsApi/v1/dealPlanningMetricses"])
def test_a_manager_header_passes_and_is_governed(amazon: SimulatedAmazon, running: Serving, path: str) -> None:
    """A free client's own arrives as it was sent, next to Amazon's headers; a limited client names no manager."""
    sent = {"X-Ads-Proxy-Key": key_of("free"), MANAGER: "amzn1.manager.1"}
    connection = http.client.HTTPConnection(running.netloc, timeout=PATIENCE)
    connection.request("GET", f"{path}?manager", headers=sent)
    connection.getresponse().read()
    (seen,) = [
        each for each in amazon.look("requests", last=1000, listener="api") if each["target"] == f"{path}?manager"
    ]
    headers = {name.lower(): value for name, value in seen["headers"]}
    assert headers[MANAGER.lower()] == "amzn1.manager.1" and headers["amazon-ads-clientid"]
    limited = {**sent, "X-Ads-Proxy-Key": key_of("accounted"), "Amazon-Ads-AccountId": ADS_ACCOUNT}
    connection.request("GET", path, headers=limited)
    assert connection.getresponse().status == 403
    connection.close()


DOCUMENTED = [row for row in ROWS if row["basis"] == "documented"]
"""The operations that only newer specifications and Amazon's guides have."""


def newer_shapes() -> dict[tuple[str, str], dict[str, Any]]:
    """What the simulator's tables say of them, by method and path without the names of parameters."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for name in ("documented.jsonl", "documented_unified.jsonl"):
        for line in resources.files("proxy.simulator").joinpath(name).read_text("ascii").splitlines():
            entry = json.loads(line)
            found.setdefault((entry["method"], entry["path"]), {}).update(entry)
    return found


def newer_body(method: str, shape: dict[str, Any]) -> bytes | None:
    """The smallest body that the operation takes: an object or an id in its list, and the filters that it requires."""
    if method in ("GET", "DELETE"):
        return None
    item: Any = dict.fromkeys(shape.get("needs", ()), "x") or ("x" if shape.get("takes", "").endswith("Ids") else {})
    filters = {name: {"include": ["x"]} for name in shape.get("required", ()) if name.endswith("Filter")}
    return json.dumps({**filters, **({shape["takes"]: [item]} if "takes" in shape else {})}).encode()


def test_each_newer_operation_is_answered_in_its_shape(amazon: SimulatedAmazon, running: Serving) -> None:
    """With the headers of its row and the media type of its source, each passes the strict simulator, and its answer
    comes back whole."""
    tables, connection = newer_shapes(), http.client.HTTPConnection(running.netloc, timeout=PATIENCE)
    for number, row in enumerate(DOCUMENTED):
        name, shape = f"{row['method']} {row['path']}", tables[row["method"], re.sub(r"{[^{}]*}", "{}", row["path"])]
        sent = {"X-Ads-Proxy-Key": key_of("free"), "Content-Type": shape.get("consumes", ["application/json"])[0]}
        if row["scope"] == "required":
            sent[SCOPE] = PROFILE
        if row["account_id"] == "required":
            sent[row["account_header"]] = account_id("default", 1)
        target = f"{path_of(row)}?newer={number}"
        connection.request(row["method"], target, newer_body(row["method"], shape), sent)
        response = connection.getresponse()
        body = json.loads(response.read())
        assert response.status == shape.get("status", 200), (name, body)
        if "verb" in shape:
            is_list = shape["verb"] in ("query", "list")
            assert body.keys() == {
                *shape.get("besides", {}),
                *([shape["single"]] if is_list else ["success", "error"]),
            }, name
        elif "example" in shape:
            assert body == shape["example"], name
        else:
            assert (body["method"], body["path"]) == (row["method"], path_of(row)), name
    connection.close()
    assert len(DOCUMENTED) == 187
    refused = [each for each in amazon.look("refusals")["refusals"] if "?newer=" in each["target"]]
    assert refused == []
