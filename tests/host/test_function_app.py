"""The function app as the host sees it: one mistake here would hide every function."""

from __future__ import annotations

import importlib.util
import inspect
import json
import os
import re
import subprocess
import sys
from typing import Any

import azure.functions as func
import pytest

from local.config import ROOT
from local.settings import example_values


def load_functions() -> list[Any]:
    """The functions of function_app.py; an app gives them once only, hence a fresh one."""
    spec = importlib.util.spec_from_file_location(
        "function_app_under_test", ROOT / "function_app.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    functions: list[Any] = module.app.get_functions()
    return functions


FUNCTIONS = load_functions()
NAMES = [function.get_function_name() for function in FUNCTIONS]
HOST: dict[str, Any] = json.loads((ROOT / "host.json").read_text("utf-8"))
SERVICE_BUS: dict[str, Any] = HOST["extensions"]["serviceBus"]
QUEUES = json.loads((ROOT / "shared" / "resources" / "queues.json").read_text("utf-8"))[
    "UserConfig"
]["Namespaces"][0]["Queues"]


def bindings(function: Any) -> list[dict[str, Any]]:
    """A function's bindings as the host gets them."""
    return [binding.get_dict_repr() for binding in function.get_bindings()]


def triggers(kind: str) -> list[tuple[Any, dict[str, Any]]]:
    """The functions with a trigger of one type, each with that trigger."""
    return [
        (function, binding)
        for function in FUNCTIONS
        for binding in bindings(function)
        if binding["type"] == kind
    ]


def seconds(text: str) -> int:
    """A time span of host.json (h:mm:ss) or of the queue file (PT5M) in seconds."""
    if iso := re.fullmatch(r"PT(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?", text):
        hours, minutes, rest = (int(part or 0) for part in iso.groups())
    else:
        hours, minutes, rest = (int(part) for part in text.split(":"))
    return hours * 3600 + minutes * 60 + rest


def test_there_are_functions_with_a_name_each() -> None:
    assert {"create_provisioning_flow", "update_readiness_status"} <= set(NAMES)
    assert len({name.lower() for name in NAMES}) == len(NAMES)


@pytest.mark.parametrize("function", FUNCTIONS, ids=NAMES)
def test_parameters_match_bindings(function: Any) -> None:
    bound = {binding["name"] for binding in bindings(function)} - {"$return"}
    parameters = inspect.signature(function.get_user_function()).parameters
    assert set(parameters) - {"context"} == bound


@pytest.mark.parametrize("function", FUNCTIONS, ids=NAMES)
def test_every_function_is_async_and_says_what_it_does(function: Any) -> None:
    handler = function.get_user_function()
    assert inspect.iscoroutinefunction(handler)
    assert handler.__doc__


@pytest.mark.parametrize("function", FUNCTIONS, ids=NAMES)
def test_annotations_are_ones_that_the_worker_knows(function: Any) -> None:
    kinds = {binding["type"] for binding in bindings(function)}
    types = inspect.get_annotations(function.get_user_function(), eval_str=True)
    if "httpTrigger" in kinds:
        assert types == {"req": func.HttpRequest, "return": func.HttpResponse}
    if "serviceBusTrigger" in kinds:
        assert types["return"] is None


def test_no_two_functions_answer_the_same_request() -> None:
    requests = [
        (method.value, re.sub(r"\{\w+\}", "{}", trigger["route"].lower()))
        for _, trigger in triggers("httpTrigger")
        for method in trigger.get("methods", ())
    ]
    assert len(set(requests)) == len(requests)


def test_the_api_is_under_its_documented_path() -> None:
    routes = [trigger["route"] for _, trigger in triggers("httpTrigger")]
    flows = "beta/external/industryData/outboundProvisioningFlowSets/{set_id}/provisioningFlows"
    assert flows in routes


def test_readiness_events_come_one_at_a_time_from_the_queue_that_a_setting_names() -> None:
    [trigger] = [
        binding
        for function, binding in triggers("serviceBusTrigger")
        if function.get_function_name() == "update_readiness_status"
    ]
    assert trigger["queueName"] == "%READINESS_QUEUE%"
    assert trigger["connection"] == "ServiceBus"
    assert str(trigger.get("cardinality", "one")).lower() in ("one", "cardinality.one")


def test_every_setting_that_a_binding_names_is_in_the_example() -> None:
    values = example_values()
    for function in FUNCTIONS:
        for binding in bindings(function):
            for name in re.findall(r"%(\w+)%", json.dumps(binding, default=str)):
                assert values[name]
            if "connection" in binding:
                assert values[binding["connection"]]


# --- importing ---------------------------------------------------------------------------------

HEAVY = ("azure.cosmos", "azure.servicebus", "azure.identity", "cryptography")


def in_a_new_process(code: str) -> str:
    """Run code in an interpreter of its own, with no app setting set; return what it printed."""
    bare = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=ROOT,
        env=bare,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_importing_the_app_imports_no_sdk() -> None:
    modules = json.loads(
        in_a_new_process("import function_app, json, sys; print(json.dumps(list(sys.modules)))")
    )
    assert "shared.bootstrap" in modules
    assert [name for name in modules if name.startswith(HEAVY)] == []


def test_indexing_the_functions_runs_no_module_that_brings_marshmallow() -> None:
    code = """
import sys, function_app
function_app.app.get_functions()
print(sorted({name.partition(".")[0] for name in sys.modules} & {"marshmallow", "xml"}))
from shared.contract.schemas import FLOW_SCHEMAS
print(len(FLOW_SCHEMAS), "marshmallow" in sys.modules)
"""
    assert in_a_new_process(code).split("\n")[:2] == ["[]", "4 True"]


def test_importing_the_app_needs_no_setting_and_no_network() -> None:
    code = """
import socket
def refuse(*args, **kwargs):
    raise AssertionError("the network is used at import")
socket.socket.connect = socket.socket.connect_ex = socket.getaddrinfo = refuse
import function_app
print(len(function_app.app.get_functions()))
"""
    assert int(in_a_new_process(code)) == len(FUNCTIONS)


def test_the_app_is_imported_inside_a_running_loop() -> None:
    code = """
import asyncio
async def load():
    import function_app
    return function_app.app.get_functions()
print(len(asyncio.run(load())))
"""
    assert int(in_a_new_process(code)) == len(FUNCTIONS)


# --- host.json ---------------------------------------------------------------------------------


def test_routes_have_no_prefix() -> None:
    assert HOST["version"] == "2.0"
    assert HOST["extensions"]["http"]["routePrefix"] == ""


def test_the_extension_bundle_is_the_fourth() -> None:
    assert HOST["extensionBundle"] == {
        "id": "Microsoft.Azure.Functions.ExtensionBundle",
        "version": "[4.*, 5.0.0)",
    }


def test_a_message_stays_locked_as_long_as_a_function_may_run() -> None:
    assert seconds(SERVICE_BUS["maxAutoLockRenewalDuration"]) > seconds(HOST["functionTimeout"])


def test_messages_are_completed_by_the_host_and_none_waits_locked() -> None:
    assert SERVICE_BUS["autoCompleteMessages"] is True
    assert SERVICE_BUS["prefetchCount"] == 0
    assert 1 <= SERVICE_BUS["maxConcurrentCalls"] <= 64


def test_the_queues_of_the_settings_are_those_that_the_emulator_makes() -> None:
    named = [example_values()[name] for name in ("READINESS_QUEUE", "NOTIFICATIONS_QUEUE")]
    assert [queue["Name"] for queue in QUEUES] == named


@pytest.mark.parametrize("queue", QUEUES, ids=[queue["Name"] for queue in QUEUES])
def test_messages_are_kept_apart_and_delivered_more_than_once(queue: dict[str, Any]) -> None:
    properties = queue["Properties"]
    assert properties["RequiresDuplicateDetection"] is True
    assert properties["RequiresSession"] is False
    assert 1 < properties["MaxDeliveryCount"] <= 10
    assert seconds(properties["LockDuration"]) >= 30


def test_sampling_keeps_every_request_and_every_exception() -> None:
    sampling = HOST["logging"]["applicationInsights"]["samplingSettings"]
    assert set(sampling["excludedTypes"].split(";")) == {"Request", "Exception"}
    assert "telemetryMode" not in HOST
