"""Rules: which requests fail, how often, and what is refused in words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from local.config import ROOT
from local.faults.reading import RulesError
from local.faults.rules import Rules, Target
from local.stack import Stack
from tests.faults.conftest import Faults
from tests.host.host_process import HostProcess
from tests.support.api import Api
from tests.support.commands import environment, run

OPERATIONS = ("create_flow_set", "get_flow_set", "batch")
SETS = "/beta/external/industryData/outboundProvisioningFlowSets"


def rules(*given: dict[str, Any], seed: int = 0) -> Rules:
    made = Rules(OPERATIONS)
    made.replace(json.dumps({"seed": seed, "rules": given}).encode())
    return made


def failing(rules: Rules, target: Target, times: int) -> list[int]:
    """Which of so many equal requests fail, counted from one."""
    return [number for number in range(1, times + 1) if rules.decide(target, None) is not None]


READ = Target("GET", f"{SETS}/1", "get_flow_set")
CREATE = Target("POST", SETS, "create_flow_set")


def test_the_nth_request_fails() -> None:
    assert failing(rules({"nth": 3, "status": 500}), READ, 9) == [3]


def test_so_many_requests_fail() -> None:
    assert failing(rules({"count": 2, "status": 500}), READ, 9) == [1, 2]


def test_a_share_of_requests_fails_the_same_ones_for_the_same_seed() -> None:
    seven, again, eight = (
        failing(rules({"share": 0.25, "status": 500}, seed=seed), READ, 400) for seed in (7, 7, 8)
    )
    assert seven == again != eight
    assert 60 < len(seven) < 140


def test_what_another_rule_does_changes_no_chances() -> None:
    share = {"share": 0.25, "status": 500, "operation": "get_flow_set"}
    alone = failing(rules({"nth": 400, "status": 503}, share), READ, 100)
    mixed = rules({"nth": 400, "status": 503}, share)
    found = []
    for number in range(1, 101):
        mixed.decide(CREATE, None)
        found += [number] if mixed.decide(READ, None) else []
    assert found == alone


def test_the_first_rule_that_fires_decides_and_all_count() -> None:
    both = rules({"nth": 2, "status": 500}, {"count": 2, "status": 503})
    found = [both.decide(READ, None) for _ in range(4)]
    assert [fault and fault.status for fault in found] == [503, 500, 503, None]
    assert [rule["matched"] for rule in both.shown()["rules"]] == [4, 4]
    assert [rule["applied"] for rule in both.shown()["rules"]] == [1, 2]


@pytest.mark.parametrize(
    ("where", "matches"),
    [
        ({}, True),
        ({"method": "GET"}, True),
        ({"method": "POST"}, False),
        ({"operation": "get_flow_set"}, True),
        ({"operation": "create_flow_set"}, False),
        ({"path": f"{SETS}/1"}, True),
        ({"path": "/external/industryData/outboundProvisioningFlowSets/*"}, True),
        ({"path": "/external/industrydata/outboundprovisioningflowsets('1')"}, True),
        ({"path": "/external/**"}, True),
        ({"path": "/**"}, True),
        ({"path": "/external/*"}, False),
        ({"path": "/external/industryData/roleGroups/*"}, False),
        ({"path": f"{SETS}/1/provisioningFlows"}, False),
        ({"path": SETS}, False),
    ],
)
def test_method_path_and_operation_choose(where: dict[str, Any], matches: bool) -> None:
    assert bool(failing(rules({**where, "status": 500}), READ, 1)) == matches


def test_a_preflight_fails_only_by_name() -> None:
    preflight = Target("OPTIONS", SETS, "serve_other_methods")
    assert not failing(rules({"status": 500}), preflight, 1)
    assert failing(rules({"status": 500, "method": "OPTIONS"}), preflight, 1)


@pytest.mark.parametrize(
    ("rule", "sentence"),
    [
        ({}, "rules[0]: Give one of status, cut, truncate, readinessStatus, or delay"),
        ({"status": 429, "cut": True}, "rules[0]: Give one of status, cut,"),
        ({"status": 404}, "rules[0].status: Must be one of: 401, 412, 429,"),
        ({"status": "429"}, "rules[0].status: Not a valid integer."),
        ({"status": 429, "when": "after"}, "rules[0].when: A 429 is never sent after a write."),
        ({"delay": 1, "when": "after"}, "rules[0].when: This goes with status or cut."),
        ({"cut": False}, "rules[0].cut: Not a valid boolean."),
        ({"delay": 61}, "rules[0].delay: Must be greater than 0 and less than or equal to 60"),
        ({"delay": 1, "retryAfter": 1}, "rules[0].retryAfter: This goes with status."),
        ({"status": 500, "nth": 0}, "rules[0].nth: Must be greater than or equal to 1"),
        ({"status": 500, "nth": 1, "share": 0.5}, "rules[0].nth: Give this without count"),
        ({"status": 500, "share": 1.5}, "rules[0].share: Must be greater than 0"),
        ({"status": 500, "path": "external"}, "rules[0].path: Begin it with a slash."),
        ({"status": 500, "method": "get"}, "rules[0].method: Must be one of: GET,"),
        ({"status": 500, "operation": "x"}, "rules[0].operation: Give one of batch, create_"),
        ({"status": 500, "retryafter": 1}, "rules[0].retryafter: Use one of status, retryAfter, "),
    ],
)
def test_a_rule_that_cannot_be_is_refused_in_words(rule: dict[str, Any], sentence: str) -> None:
    with pytest.raises(RulesError) as refused:
        rules(rule)
    assert refused.value.sentences[0].startswith(sentence)


def test_rules_that_are_no_json_or_no_object_are_refused_without_advice_on_requests() -> None:
    with pytest.raises(RulesError) as refused:
        rules().replace(b'{"rules": [}')
    assert str(refused.value).startswith("This cannot be read as JSON: ")
    assert "line 1, column 12" in str(refused.value)
    assert "Content-Type" not in str(refused.value)
    with pytest.raises(RulesError, match="Give an object with seed, rules"):
        rules().replace(b"[]")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"{}",
        b'{"rules": {}}',
        b'{"rules": [[]]}',
        b'{"rules": [], "rules": []}',
        b'{"rules": [' + b",".join([b'{"cut": true}'] * 101) + b"]}",
        b'{"rules": [' + b" " * 65536 + b"]}",
        b"[" * 10_000 + b"]" * 10_000,
        b"\xff",
    ],
)
def test_hostile_rules_are_refused_and_those_in_force_stay(body: bytes) -> None:
    made = rules({"status": 503})
    with pytest.raises(RulesError):
        made.replace(body)
    assert len(made.shown()["rules"]) == 1


def test_no_more_rules_are_added_than_can_be_given() -> None:
    made = rules(*[{"status": 503}] * 100)
    with pytest.raises(RulesError, match="the most"):
        made.add(b'{"status": 503}')


@pytest.mark.parametrize(
    ("header", "sentence"),
    [
        ("", "Write name=value, each name once: '' is not so."),
        (
            "429 retryAfter=2",
            "Write name=value, each name once: '429 retryAfter=2' is not so. Put a semicolon",
        ),
        ("429; status=500", "Write name=value, each name once: 'status=500' is not so."),
        ("418", "status: Must be one of"),
        ("method=GET; 429", "method: Use one of status, retryAfter, "),
        ("429; count=2", "count: Give an id, by which the requests are counted."),
        ("429; retryAfter=[[[[", "retryAfter: Not a valid integer."),
        ("x" * 513, "It has at most 512 characters."),
    ],
)
def test_a_header_that_cannot_be_is_refused_in_words(header: str, sentence: str) -> None:
    with pytest.raises(RulesError) as refused:
        rules().decide(READ, header)
    assert refused.value.sentences[0].startswith(sentence)


def test_a_header_with_an_id_is_used_up_and_one_without_is_not() -> None:
    made = rules()
    assert [made.decide(READ, "429; id=a; count=2") is not None for _ in range(3)] == [
        *(True, True, False)
    ]
    assert made.decide(READ, "429; id=b") is not None
    assert [made.decide(READ, "429") is not None for _ in range(3)] == [True] * 3


async def test_rules_are_added_listed_with_their_counts_and_removed(
    faults: Faults, service: Api, set_id: str
) -> None:
    await faults.use({"status": 503, "operation": "get_flow_set", "count": 1})
    await service.post(faults.url("faults"), {"delay": 0.01})
    for _ in range(2):
        await service.get(service.set(set_id))
    assert await faults.rules() == [
        {"operation": "get_flow_set", "count": 1, "status": 503, "when": "before"}
        | {"matched": 2, "applied": 1},
        {"delay": 0.01, "matched": 2, "applied": 1},
    ]
    await faults.clear()
    assert await faults.rules() == []


async def test_every_fault_of_refused_rules_is_listed(faults: Faults) -> None:
    answer = await faults.put({"status": 404}, {"nth": 1})
    assert answer.status == 400
    assert len(answer.json()["error"]["details"]) == 2


def test_the_command_loads_adds_lists_and_clears(stack: Stack, tmp_path: Path) -> None:
    def faults(*arguments: str) -> Any:
        return run(ROOT, "-m", "local.faults", *arguments, env=environment(stack.config))

    path = tmp_path / "faults.json"
    path.write_text(json.dumps({"seed": 7, "rules": [{"status": 503, "nth": 1000}]}))
    assert faults("load", str(path)).returncode == 0
    added = faults("add", "status=429", "nth=1000", "path=/external/**")
    assert added.returncode == 0, added.stderr
    listed = json.loads(faults("list").stdout)
    assert listed["seed"] == 7
    assert [rule["status"] for rule in listed["rules"]] == [503, 429]
    wrong = faults("add", "status=404")
    assert wrong.returncode == 1
    assert wrong.stderr.startswith("status: Must be one of: 401, 412")
    assert faults("clear").returncode == 0
    assert json.loads(faults("list").stdout)["rules"] == []


def test_the_command_says_how_to_start_the_service() -> None:
    result = run(ROOT, "-m", "local.faults", "list", env={"FUNCTIONS_PORT": "9"})
    assert result.returncode == 1
    assert result.stderr.startswith("The service does not run at http://127.0.0.1:9: `make run`.")


def test_the_command_names_a_file_that_is_not_there() -> None:
    result = run(ROOT, "-m", "local.faults", "load", "none.json")
    assert result.stderr == "none.json: No such file or directory\n"


async def test_a_start_with_rules_that_cannot_be_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "faults.json"
    path.write_text('{"rules": [{"status": 404}]}')
    app = ROOT / "tests" / "host" / "apps" / "web"
    host = HostProcess(app, tmp_path / "log", {"FAULTS": str(path)}, "--faults")
    assert await host.ended() == 2
    assert f"{path}: rules[0].status: Must be one of" in host.output


async def test_the_file_of_rules_is_read_again_when_it_changes(tmp_path: Path) -> None:
    path = tmp_path / "faults.json"
    path.write_text('{"rules": []}')
    app = ROOT / "tests" / "host" / "apps" / "web"
    host = HostProcess(app, tmp_path / "log", {"FAULTS": str(path)}, "--faults")
    try:
        async with httpx.AsyncClient(base_url=await host.url()) as http:

            async def statuses() -> list[int]:
                found = (await http.get("/local/faults")).json()["rules"]
                return [rule["status"] for rule in found]

            assert await statuses() == []
            path.write_text('{"rules": [{"status": 503}]}')
            assert await statuses() == [503]
            await http.post("/local/faults", json={"status": 500})
            assert await statuses() == [503, 500]
            path.write_text('{"rules": [{"status": 404}]}')
            assert await statuses() == [503, 500]
            path.unlink()
            assert await statuses() == await statuses() == [503, 500]
            path.write_text('{"rules": [{"status": 429}]}')
            assert await statuses() == [429]
    finally:
        await host.stop()
    assert host.output.count("The rules stay as they were.") == 2
    assert f"{path}: rules[0].status: Must be one of" in host.output
