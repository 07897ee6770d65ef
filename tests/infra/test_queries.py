"""The queries of workbook and alerts: Kusto's own language service binds each to the tables, and
and what they read of a log line is in lines that the running app wrote."""

from __future__ import annotations

import json
import re
import subprocess
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from azure.servicebus import ServiceBusMessage

from local.stack import Stack
from tests.infra.plan import ENVIRONMENTS, read
from tests.support.api import Api
from tests.support.cosmos import CosmosFaults
from tests.support.logs import logged
from tests.support.queue import Queue
from tests.support.receiver import receiving, resource_of, status, subscribe

# Columns of the tables, those that a query may want:
# https://learn.microsoft.com/azure/azure-monitor/reference/tables/apptraces (and so on)
_APP = (
    "TimeGenerated: datetime, AppRoleInstance: string, AppRoleName: string, ItemCount: int,"
    " OperationId: string, OperationName: string, Properties: dynamic"
)
_AUDIT = "TimeGenerated: datetime, OperationName: string, ResultType: string, CorrelationId: string"
TABLES = {
    "AppRequests": f"({_APP}, DurationMs: real, Id: string, Name: string, ResultCode: string,"
    " Success: bool, Url: string)",
    "AppTraces": f"({_APP}, Message: string, SeverityLevel: int)",
    "AZKVAuditLogs": f"({_AUDIT}, HttpStatusCode: int)",
    "AzureDiagnostics": f"({_AUDIT}, ResourceProvider: string)",
}
# What the workbook puts in place of its parameter.
PARAMETERS = {"{Range:grain}": "1h"}


@dataclass(frozen=True)
class Bound:
    """A query, and what the language service says of it."""

    name: str
    text: str
    faults: list[str]
    members: set[str]
    columns: dict[str, str]


def queries() -> dict[str, str]:
    """The texts of all queries, by the name of chart or alert."""
    made = read("prod")
    book = json.loads(made.one("Microsoft.Insights/workbooks")["properties"]["serializedData"])
    found = {
        f"workbook {item['name']}": item["content"]["query"]
        for item in book["items"]
        if "query" in item["content"]
    }
    for rule in made.of("Microsoft.Insights/scheduledQueryRules"):
        (criterion,) = rule["properties"]["criteria"]["allOf"]
        found[f"alert {made.plain(rule['name'])}"] = criterion["query"]
    return found


@pytest.fixture(scope="module")
def bound() -> dict[str, Bound]:
    """Every query, parsed and bound to the tables."""
    texts = queries()
    filled = list(texts.values())
    for parameter, value in PARAMETERS.items():
        filled = [text.replace(parameter, value) for text in filled]
    done = subprocess.run(
        ["node", str(Path(__file__).with_name("bind_queries.cjs"))],
        input=json.dumps({"tables": TABLES, "queries": filled}),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return {
        name: Bound(name, text, said["faults"], set(said["members"]), said["columns"])
        for (name, text), said in zip(texts.items(), json.loads(done.stdout), strict=True)
    }


@pytest.fixture(scope="module")
async def lines(
    stack: Stack, service: Api, queue: Queue, cosmos_faults: CosmosFaults
) -> list[dict[str, Any]]:
    """One line of each kind that a query looks for, as the app wrote it."""
    flow = await service.new_flow()
    await flow.until_status("ready")
    async with receiving() as receiver:
        receiver.answer = status(500)
        await subscribe(service, receiver, resource=resource_of(flow.set_id))
        assert (await service.post(f"{flow.url}/reset", {})).status == 202
        failed = await logged(stack, '"event": "notificationFailed"')
    letter = str(uuid.uuid4())
    await queue.send(ServiceBusMessage(b"{", message_id=letter))
    async with cosmos_faults(operation="read", status=403, count=100):
        assert (await service.get(flow.url)).status == 503
    found = [
        *failed,
        *await logged(stack, '"event": "request"', '"status": 201'),
        *await logged(stack, '"event": "storeRefused"'),
        *await logged(stack, '"outcome": "applied"', flow.id),
        *await logged(stack, '"event": "deadLetterArchived"', letter),
    ]
    assert len({line["event"] for line in found}) >= 5
    return found


@pytest.mark.parametrize("name", queries())
def test_a_query_has_no_fault(bound: dict[str, Bound], name: str) -> None:
    assert bound[name].faults == []


def test_the_language_service_finds_faults() -> None:
    """Were it to take anything, the test above would prove nothing."""
    wrong = [
        "AppTraces | extend line = parse_json(Message) | where tostring(line.to) == 'ready'",
        "AppTraces | summarize p95 = percentile(DurationMs, 95)",
    ]
    done = subprocess.run(
        ["node", str(Path(__file__).with_name("bind_queries.cjs"))],
        input=json.dumps({"tables": TABLES, "queries": wrong}),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    keyword, column = [each["faults"] for each in json.loads(done.stdout)]
    assert any("['to']" in fault for fault in keyword)
    assert any("DurationMs" in fault for fault in column)


def test_both_environments_have_the_same_queries() -> None:
    found = []
    for environment in ENVIRONMENTS:
        made = read(environment)
        found.append(
            [
                rule["properties"]["criteria"]["allOf"][0]["query"]
                for rule in made.of("Microsoft.Insights/scheduledQueryRules")
            ]
            + [made.one("Microsoft.Insights/workbooks")["properties"]["serializedData"]]
        )
    assert found[0] == found[1]


@pytest.mark.parametrize("rule", read("prod").of("Microsoft.Insights/scheduledQueryRules"))
def test_an_alert_compares_a_number_that_its_query_returns(
    bound: dict[str, Bound], rule: dict[str, Any]
) -> None:
    (criterion,) = rule["properties"]["criteria"]["allOf"]
    found = bound[f"alert {read('prod').plain(rule['name'])}"]
    assert found.columns.get(criterion["metricMeasureColumn"]) in ("long", "real")
    assert len(found.columns) == 1, "one row, one number"


def _fits(line: dict[str, Any], query: Bound) -> bool:
    """Whether a log line has all that a query reads, and the values that it looks for."""
    wanted = re.findall(r"line\.(\w+)\) == ['\"](\w+)['\"]", query.text)
    return query.members <= set(line) and all(line[name] == value for name, value in wanted)


async def test_queries_read_what_the_app_logs(
    bound: dict[str, Bound], lines: list[dict[str, Any]]
) -> None:
    of_lines = [query for query in bound.values() if query.members]
    assert len(of_lines) == 10
    for query in of_lines:
        assert any(_fits(line, query) for line in lines), (query.name, query.members)


def test_a_query_of_log_lines_reads_lines_only(bound: dict[str, Bound]) -> None:
    """Other texts in AppTraces are no JSON objects: the host's own, for one."""
    for query in bound.values():
        reads = re.search(r"where Message startswith ['\"]\{['\"]", query.text) is not None
        assert reads == bool(query.members), query.name
        assert ("AppTraces" in query.text) == reads
