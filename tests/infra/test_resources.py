"""What is made: locked down, with the properties that the code and the emulators count on."""

from __future__ import annotations

import datetime as dt
import json
import re
from typing import Any

import pytest
import yaml

from tests.infra import plan
from tests.infra.plan import ENVIRONMENTS, INFRA, ROOT, read

COSMOS = "Microsoft.DocumentDB/databaseAccounts"
VAULT = "Microsoft.KeyVault/vaults"
STORAGE = "Microsoft.Storage/storageAccounts"
SERVICE_BUS = "Microsoft.ServiceBus/namespaces"
SITE = "Microsoft.Web/sites"
ENDPOINT = "Microsoft.Network/privateEndpoints"

# Every type that is made, and how many of it: in dev, in prod.
TYPES = {
    "Microsoft.Authorization/roleAssignments": (13, 12),
    COSMOS: (1, 1),
    f"{COSMOS}/sqlDatabases": (1, 1),
    f"{COSMOS}/sqlDatabases/containers": (5, 5),
    f"{COSMOS}/sqlRoleAssignments": (2, 1),
    "Microsoft.Insights/actionGroups": (1, 1),
    "Microsoft.Insights/components": (1, 1),
    "Microsoft.Insights/diagnosticSettings": (5, 5),
    "Microsoft.Insights/metricAlerts": (4, 4),
    "Microsoft.Insights/scheduledQueryRules": (8, 8),
    "Microsoft.Insights/workbooks": (1, 1),
    VAULT: (1, 1),
    "Microsoft.ManagedIdentity/userAssignedIdentities": (2, 2),
    ENDPOINT: (0, 5),
    f"{ENDPOINT}/privateDnsZoneGroups": (0, 5),
    "Microsoft.Network/privateDnsZones": (0, 4),
    "Microsoft.Network/privateDnsZones/virtualNetworkLinks": (0, 4),
    "Microsoft.Network/virtualNetworks": (0, 1),
    "Microsoft.OperationalInsights/workspaces": (1, 1),
    "Microsoft.Resources/resourceGroups": (1, 1),
    SERVICE_BUS: (1, 1),
    f"{SERVICE_BUS}/queues": (2, 2),
    STORAGE: (2, 2),
    f"{STORAGE}/blobServices": (2, 2),
    f"{STORAGE}/blobServices/containers": (3, 3),
    "Microsoft.Web/serverfarms": (1, 1),
    SITE: (1, 1),
    f"{SITE}/basicPublishingCredentialsPolicies": (2, 2),
    f"{SITE}/config": (1, 1),
}

LOCKS = [
    (COSMOS, "disableLocalAuth", True),
    (COSMOS, "disableKeyBasedMetadataWriteAccess", True),
    (COSMOS, "minimalTlsVersion", "Tls12"),
    (COSMOS, "backupPolicy.type", "Continuous"),
    (STORAGE, "allowSharedKeyAccess", False),
    (STORAGE, "allowBlobPublicAccess", False),
    (STORAGE, "allowCrossTenantReplication", False),
    (STORAGE, "defaultToOAuthAuthentication", True),
    (STORAGE, "minimumTlsVersion", "TLS1_2"),
    (STORAGE, "supportsHttpsTrafficOnly", True),
    (STORAGE, "networkAcls.bypass", "None"),
    (f"{STORAGE}/blobServices", "deleteRetentionPolicy", {"enabled": True, "days": 7}),
    (f"{STORAGE}/blobServices/containers", "publicAccess", "None"),
    (VAULT, "enableRbacAuthorization", True),
    (VAULT, "enableSoftDelete", True),
    (SERVICE_BUS, "disableLocalAuth", True),
    (SERVICE_BUS, "minimumTlsVersion", "1.2"),
    ("Microsoft.Insights/components", "DisableLocalAuth", True),
    ("Microsoft.OperationalInsights/workspaces", "features.disableLocalAuth", True),
    (SITE, "httpsOnly", True),
    (SITE, "siteConfig.minTlsVersion", "1.2"),
    (SITE, "siteConfig.cors", {"allowedOrigins": [], "supportCredentials": False}),
    (f"{SITE}/basicPublishingCredentialsPolicies", "allow", False),
]

SECRETS = re.compile(
    r"list(Keys|ConnectionStrings|AccountSas|ServiceSas|Secrets|Credentials|AdminKeys)|\blist\("
    r"|AccountKey=|SharedAccess(Key|Signature)|Endpoint=sb:|AccountEndpoint=|[?&]sig="
    r"|\b(primary|secondary)(Master)?(Key|ConnectionString)|InstrumentationKey|authorizationRules",
    re.IGNORECASE,
)
LONG_BASE64 = re.compile(r"[A-Za-z0-9+/]{40,}={0,2}")

# Azure's rules for names, by type: https://learn.microsoft.com/azure/azure-resource-manager/
# management/resource-name-rules
NAMES = {
    "Microsoft.Resources/resourceGroups": r"[\w().-]{0,89}[\w()-]",
    COSMOS: r"[a-z0-9][a-z0-9-]{1,42}[a-z0-9]",
    VAULT: r"(?!.*--)[A-Za-z][A-Za-z0-9-]{1,22}[A-Za-z0-9]",
    STORAGE: r"[a-z0-9]{3,24}",
    SERVICE_BUS: r"(?!.*--)(?!.*-(sb|mgmt)$)[A-Za-z][A-Za-z0-9-]{4,48}[A-Za-z0-9]",
    SITE: r"[A-Za-z0-9][A-Za-z0-9-]{0,58}[A-Za-z0-9]",
    "Microsoft.Web/serverfarms": r"[A-Za-z0-9-]{1,60}",
    "Microsoft.OperationalInsights/workspaces": r"[A-Za-z0-9][A-Za-z0-9-]{2,61}[A-Za-z0-9]",
    "Microsoft.Insights/components": r"[\w().-]{0,254}[\w()-]",
    "Microsoft.Insights/actionGroups": r"[\w().-]{1,260}",
    "Microsoft.Insights/metricAlerts": r"[\w().-]{0,259}[\w()-]",
    "Microsoft.Insights/scheduledQueryRules": r"[\w().-]{0,259}[\w()-]",
    "Microsoft.ManagedIdentity/userAssignedIdentities": r"[A-Za-z0-9][\w-]{2,127}",
    "Microsoft.Network/virtualNetworks": r"[A-Za-z0-9][\w.-]{0,62}\w",
    ENDPOINT: r"[A-Za-z0-9][\w.-]{0,78}\w",
}


def check_names(made: plan.Plan) -> None:
    """Fail for a name that Azure would refuse; also called for other environment names."""
    for kind, rule in NAMES.items():
        for resource in made.of(kind):
            assert re.fullmatch(rule, resource["name"], re.ASCII), f"{kind}: {resource['name']}"
            assert "--" not in resource["name"]


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_the_plan_makes_these_resources_and_no_others(environment: str) -> None:
    made = read(environment)
    counted = {kind: len(made.of(kind)) for kind in {each["type"] for each in made.resources}}
    index = ENVIRONMENTS.index(environment)
    assert counted == {kind: number[index] for kind, number in TYPES.items() if number[index]}


@pytest.mark.parametrize("environment", ENVIRONMENTS)
@pytest.mark.parametrize(("kind", "path", "value"), LOCKS)
def test_services_are_locked_down(environment: str, kind: str, path: str, value: Any) -> None:
    made = read(environment).of(kind)
    assert made
    for resource in made:
        found: Any = resource["properties"]
        for member in path.split("."):
            found = found[member]
        assert found == value


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_no_key_secret_or_connection_string_is_read_or_written(environment: str) -> None:
    connection_strings = []
    for text in plan.texts([read(environment).resources, read(environment).outputs]):
        assert SECRETS.search(text) is None, text
        assert LONG_BASE64.search(re.sub(r"[\w.-]*(/[\w.-]+)+", "", text)) is None, text
        connection_strings += re.findall(r"\w*\)?\.ConnectionString\b", text)
    # That of telemetry, which admits no caller while local authentication is off.
    assert len(connection_strings) == 1


def test_no_file_of_infra_holds_a_key() -> None:
    kinds = (".bicep", ".bicepparam", ".ps1", ".sh")
    files = [path for path in INFRA.rglob("*") if path.suffix in kinds]
    assert {path.suffix for path in files} == set(kinds)
    for path in files:
        text = path.read_text("utf-8")
        assert SECRETS.search(text) is None, path
        assert LONG_BASE64.search(re.sub(r"[\w.-]+(/[\w.-]+)+", "", text)) is None, path


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_outputs_hold_no_secret(environment: str) -> None:
    for name, value in read(environment).outputs.items():
        assert not re.search("key(?!_)|secret|connectionstring|instrumentation", value, re.I) or (
            name in ("KEY_RING_NAME", "WORKBOOK_ID", "AZURE_KEY_VAULT_NAME")
        )


# --- network --------------------------------------------------------------------------------------


def test_prod_is_reached_by_private_endpoints_only() -> None:
    made = read("prod")
    closed = {
        resource["id"]
        for kind in (COSMOS, STORAGE, VAULT, SERVICE_BUS)
        for resource in made.of(kind)
        if resource["properties"]["publicNetworkAccess"] == "Disabled"
    }
    assert len(closed) == 5
    connected = {}
    for endpoint in made.of(ENDPOINT):
        (link,) = endpoint["properties"]["privateLinkServiceConnections"]
        connected[link["properties"]["privateLinkServiceId"]] = link["properties"]["groupIds"]
        assert endpoint["properties"]["subnet"]["id"].endswith("subnets[1].id]")
    assert set(connected) == closed
    assert {made.plain(name.rpartition("/")[2]): groups for name, groups in connected.items()} == {
        "cosmos-*": ["Sql"],
        "*": ["blob"],
        "*pkg": ["blob"],
        made.one(VAULT)["name"]: ["vault"],
        "sb-*": ["namespace"],
    }
    for kind in (STORAGE, VAULT):
        for resource in made.of(kind):
            assert resource["properties"]["networkAcls"]["defaultAction"] == "Deny"


def test_dev_is_reached_from_anywhere_with_a_token() -> None:
    for kind in (COSMOS, STORAGE, VAULT, SERVICE_BUS):
        for resource in read("dev").of(kind):
            assert resource["properties"]["publicNetworkAccess"] == "Enabled"
    for kind in (STORAGE, VAULT):
        for resource in read("dev").of(kind):
            assert resource["properties"]["networkAcls"]["defaultAction"] == "Allow"


def test_subnets_of_prod_are_apart_and_the_app_reaches_out_from_its_own() -> None:
    made = read("prod")
    functions, endpoints = made.one("Microsoft.Network/virtualNetworks")["properties"]["subnets"]
    assert functions["properties"]["addressPrefix"] == "10.90.0.0/26"
    assert endpoints["properties"]["addressPrefix"] == "10.90.0.64/26"
    (delegation,) = functions["properties"]["delegations"]
    assert delegation["properties"]["serviceName"] == "Microsoft.App/environments"
    site = made.one(SITE)["properties"]
    assert made.plain(site["virtualNetworkSubnetId"]) == "[vnet-*.subnets[0].id]"
    assert site["publicNetworkAccess"] == "Enabled"
    assert read("dev").one(SITE)["properties"]["virtualNetworkSubnetId"] is None


# --- the same facts elsewhere ---------------------------------------------------------------------


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_queues_are_those_of_the_emulator_with_every_property(environment: str) -> None:
    file = json.loads((ROOT / "shared/resources/queues.json").read_text("utf-8"))
    (namespace,) = file["UserConfig"]["Namespaces"]
    made = {
        queue["name"].rpartition("/")[2]: queue["properties"]
        for queue in read(environment).of(f"{SERVICE_BUS}/queues")
    }
    assert made == {
        queue["Name"]: {
            name[0].lower() + name[1:]: value
            for name, value in queue["Properties"].items()
            if value != ""
        }
        for queue in namespace["Queues"]
    }


def test_the_queue_is_as_the_processing_of_events_needs_it() -> None:
    queue = read("prod").one(f"{SERVICE_BUS}/queues", "readiness")["properties"]
    assert queue == {
        "deadLetteringOnMessageExpiration": True,
        "defaultMessageTimeToLive": "PT1H",
        "duplicateDetectionHistoryTimeWindow": "PT5M",
        "lockDuration": "PT1M",
        "maxDeliveryCount": 5,
        "requiresDuplicateDetection": True,
        "requiresSession": False,
    }
    host = json.loads((ROOT / "host.json").read_text("utf-8"))
    hours, minutes, seconds = map(int, host["functionTimeout"].split(":"))
    assert dt.timedelta(hours=hours, minutes=minutes, seconds=seconds) <= dt.timedelta(minutes=1)


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_containers_are_those_of_the_emulator_with_every_property(environment: str) -> None:
    from local.config import COSMOS_DATABASE

    file = json.loads((ROOT / "shared/resources/containers.json").read_text("utf-8"))
    made = read(environment)
    assert made.one(f"{COSMOS}/sqlDatabases")["properties"]["resource"] == {"id": COSMOS_DATABASE}
    found = [each["properties"] for each in made.of(f"{COSMOS}/sqlDatabases/containers")]
    assert found == [
        {
            "resource": {
                "id": container["name"],
                "partitionKey": {
                    "paths": [container["partitionKey"]],
                    "kind": "Hash",
                    "version": 2,
                },
                "uniqueKeyPolicy": {"uniqueKeys": [{"paths": p} for p in container["uniqueKeys"]]},
                "indexingPolicy": container["indexingPolicy"],
            }
        }
        for container in file["containers"]
    ]
    known = {"name", "partitionKey", "uniqueKeys", "indexingPolicy"}
    assert [set(container) for container in file["containers"]] == [known] * len(found)


def test_containers_for_blobs_are_those_that_the_code_writes_to() -> None:
    from shared.adapters import password_audit
    from shared.adapters.archive import CONTAINER

    made = read("prod")
    names = [each["name"] for each in made.of(f"{STORAGE}/blobServices/containers")]
    assert [made.plain(name) for name in names] == [
        f"*/default/{CONTAINER}",
        f"*/default/{password_audit.CONTAINER}",
        "*pkg/default/deployments",
    ]
    assert made.outputs["DEAD_LETTERS_CONTAINER"] == CONTAINER


def test_python_is_the_same_everywhere() -> None:
    runtime = read("prod").one(SITE)["properties"]["functionAppConfig"]["runtime"]
    assert runtime["name"] == "python"
    project = (ROOT / "pyproject.toml").read_text("utf-8")
    least, above = re.findall(r'requires-python = ">=3\.(\d+),<3\.(\d+)"', project)[0]
    assert int(least) <= int(runtime["version"].removeprefix("3.")) == int(above) - 1
    workflow = yaml.safe_load((ROOT / ".github/workflows/deploy.yml").read_text("utf-8"))
    used = [
        step["with"]["python-version"]
        for job in workflow["jobs"].values()
        for step in job["steps"]
        if "setup-python" in step.get("uses", "")
    ]
    assert set(used) == {runtime["version"]}


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_names_are_such_as_azure_takes(environment: str) -> None:
    check_names(read(environment))


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_everything_carries_the_tag_that_azd_looks_for(environment: str) -> None:
    made = read(environment)
    tagged = [resource for resource in made.resources if "tags" in resource]
    assert len(tagged) >= 15
    for resource in tagged:
        assert resource["tags"]["azd-env-name"] == environment
        assert resource["tags"]["environment"] == environment
    assert made.one(SITE)["tags"]["azd-service-name"] == "api"
