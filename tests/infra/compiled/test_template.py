"""The template that Azure gets: the order of what is made, and the parameters that it takes."""

from __future__ import annotations

import json
import re
from itertools import pairwise
from typing import Any

import pytest

from tests.infra.compiled.conftest import Run
from tests.infra.plan import INFRA

COSMOS = "Microsoft.DocumentDB/databaseAccounts"
# By which modules the Cosmos DB account is changed, in their order.
CHANGES = ["data", "appRoles", "privateEndpoints", "developerRoles"]


def before(resources: dict[str, Any], name: str) -> set[str]:
    """All that a resource waits for, directly or not."""
    found: set[str] = set()
    waiting = [name]
    while waiting:
        for each in resources[waiting.pop()].get("dependsOn", []):
            if each not in found:
                found.add(each)
                waiting.append(each)
    return found


def nested(template: dict[str, Any], name: str) -> dict[str, Any]:
    """The resources of a module; those without symbolic names by their number."""
    found = template["resources"][name]["properties"]["template"]["resources"]
    return found if isinstance(found, dict) else {str(n): each for n, each in enumerate(found)}


def test_the_cosmos_account_is_changed_by_one_module_at_a_time(template: dict[str, Any]) -> None:
    """It takes one change at a time, and refuses a second with 412."""
    for earlier, later in pairwise(CHANGES):
        assert earlier in before(template["resources"], later), f"{later} may overtake {earlier}"
    changing = {
        name
        for name, resource in template["resources"].items()
        if resource["type"] == "Microsoft.Resources/deployments"
        and any(
            each["type"].startswith(COSMOS) and not each.get("existing")
            for each in nested(template, name).values()
        )
    }
    assert changing | {"privateEndpoints"} == set(CHANGES)


def test_the_cosmos_account_is_changed_by_one_resource_at_a_time(template: dict[str, Any]) -> None:
    data = nested(template, "data")
    of_account = [name for name, each in data.items() if each["type"].startswith(COSMOS)]
    assert of_account == ["account", "database", "cosmosContainers"]
    for earlier, later in pairwise(of_account):
        assert earlier in before(data, later)
    copied = data["cosmosContainers"]["copy"]
    assert (copied["mode"], copied["batchSize"]) == ("serial", 1)
    for module in ("appRoles", "developerRoles"):
        made = nested(template, module).values()
        roles = [each for each in made if each["type"] == f"{COSMOS}/sqlRoleAssignments"]
        assert len(roles) == 1


def test_the_app_starts_after_its_roles_and_the_way_to_its_services(
    template: dict[str, Any],
) -> None:
    assert {"appRoles", "hostRoles", "privateEndpoints", "data", "storage", "packageStorage"} <= (
        before(template["resources"], "app")
    )


def test_endpoints_wait_for_their_zones(template: dict[str, Any]) -> None:
    assert "zones" in before(nested(template, "privateEndpoints"), "endpoints")


def test_every_parameter_and_output_is_described(template: dict[str, Any]) -> None:
    templates = {"main": template}
    for name, resource in template["resources"].items():
        if resource["type"] == "Microsoft.Resources/deployments":
            templates[name] = resource["properties"]["template"]
    for where, each in templates.items():
        for kind in ("parameters", "outputs"):
            for name, declared in each.get(kind, {}).items():
                said = declared.get("metadata", {}).get("description", "")
                assert said.endswith("."), f"{where}: {name}"
                if kind == "parameters":
                    optional = "defaultValue" in declared or declared.get("nullable", False)
                    start = "Optional. " if optional else "Required. "
                    assert said.startswith(start), f"{where}: {name}"


def test_secret_parameters_hold_no_default(bicep: Run, template: dict[str, Any]) -> None:
    assert "securestring" not in json.dumps(template).lower()
    built = json.loads(bicep("build", str(INFRA / "password-keys.bicep"), "--stdout").stdout)
    secret = [name for name, each in built["parameters"].items() if "secure" in each["type"]]
    assert secret == ["passwordKeys"]
    assert "defaultValue" not in built["parameters"]["passwordKeys"]


def _value(kind: str, text: str) -> Any:
    """What azd makes of a text: it converts for bool and int."""
    if kind == "bool":
        assert text in ("true", "false")
        return text == "true"
    return int(text) if kind == "int" else text


def test_azds_parameters_are_those_of_the_template(template: dict[str, Any]) -> None:
    file = json.loads((INFRA / "main.parameters.json").read_text("utf-8"))["parameters"]
    declared = template["parameters"]
    required = {name for name, each in declared.items() if "defaultValue" not in each}
    assert required <= set(file) <= set(declared)
    for name, given in file.items():
        found = re.fullmatch(r"\$\{([A-Z_]+)(?:=([\w.-]*))?\}", given["value"])
        assert found is not None, name
        assert (found[2] is None) == (name in required), name
        if found[2] is not None:
            value = _value(declared[name]["type"], found[2])
            assert value == declared[name]["defaultValue"], name


@pytest.mark.parametrize("name", ["purgeProtection", "vaultRetentionDays", "privateNetwork"])
def test_the_parameters_of_audits_can_be_set_by_azd(name: str) -> None:
    file = json.loads((INFRA / "main.parameters.json").read_text("utf-8"))["parameters"]
    assert re.sub(r"(?<!^)(?=[A-Z])", "_", name).upper() in file[name]["value"]
