"""One template for every cloud: its addresses come from environment(), or from a table of ours."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.infra.compiled.conftest import Compute
from tests.infra.plan import texts

# What environment() says in each cloud, as far as it is looked at:
# https://learn.microsoft.com/azure/azure-resource-manager/bicep/bicep-functions-deployment
CLOUDS = {
    "AzureCloud": ("https://login.microsoftonline.com/", "core.windows.net", ".vault.azure.net"),
    "AzureUSGovernment": (
        *("https://login.microsoftonline.us/", "core.usgovcloudapi.net"),
        ".vault.usgovcloudapi.net",
    ),
    "AzureChinaCloud": (
        *("https://login.chinacloudapi.cn/", "core.chinacloudapi.cn", ".vault.azure.cn"),
    ),
}
# https://learn.microsoft.com/azure/private-link/private-endpoint-dns, and Graph's national clouds:
# https://learn.microsoft.com/graph/deployments
EXPECTED = {
    "AzureCloud": (
        "https://graph.microsoft.com/beta",
        {
            "privatelink.blob.core.windows.net",
            "privatelink.documents.azure.com",
            "privatelink.servicebus.windows.net",
            "privatelink.vaultcore.azure.net",
        },
    ),
    "AzureUSGovernment": (
        "https://graph.microsoft.us/beta",
        {
            "privatelink.blob.core.usgovcloudapi.net",
            "privatelink.documents.azure.us",
            "privatelink.servicebus.usgovcloudapi.net",
            "privatelink.vaultcore.usgovcloudapi.net",
        },
    ),
    "AzureChinaCloud": (
        "https://microsoftgraph.chinacloudapi.cn/beta",
        {
            "privatelink.blob.core.chinacloudapi.cn",
            "privatelink.documents.azure.cn",
            "privatelink.servicebus.chinacloudapi.cn",
            "privatelink.vaultcore.azure.cn",
        },
    ),
}
OF_THE_PUBLIC_CLOUD = re.compile(
    r"windows\.net|azure\.(com|net)|microsoftonline\.com|graph\.microsoft\.com|azurewebsites\.net"
)


def settle(folder: Path, cloud: str) -> None:
    """Write into a copy of infra/ what environment() would say: the compiler leaves it to Azure."""
    login, storage, vault = CLOUDS[cloud]
    said = (
        f"{{ name: '{cloud}', authentication: {{ loginEndpoint: '{login}' }},"
        f" suffixes: {{ storage: '{storage}', keyvaultDns: '{vault}' }} }}"
    )
    (folder / "bicepconfig.json").write_text('{ "analyzers": { "core": { "enabled": false } } }')
    changed = 0
    for path in folder.glob("*.bicep"):
        text = path.read_text("utf-8")
        changed += text.count("environment()")
        path.write_text(text.replace("environment()", "settled") + f"\nvar settled = {said}\n")
    assert changed


@pytest.mark.parametrize("cloud", CLOUDS)
def test_addresses_are_those_of_the_cloud(compute: Compute, copy: Path, cloud: str) -> None:
    settle(copy, cloud)
    made = compute(privateNetwork=True, serviceBusSku="Premium", cosmosCapacity="autoscale")
    graph, zones = EXPECTED[cloud]
    assert made.app_settings()["GRAPH_ROOT"] == graph
    assert made.app_settings()["AUTH_AUTHORITY"] == CLOUDS[cloud][0]
    assert {zone["name"] for zone in made.of("Microsoft.Network/privateDnsZones")} == zones
    used = {
        entry["properties"]["privateDnsZoneId"].rpartition("/")[2]
        for records in made.of("Microsoft.Network/privateEndpoints/privateDnsZoneGroups")
        for entry in records["properties"]["privateDnsZoneConfigs"]
    }
    assert used == zones
    named = set()
    for text in texts([made.resources, made.outputs]):
        assert "environment()" not in text
        named |= set(re.findall(r"\S*" + OF_THE_PUBLIC_CLOUD.pattern + r"\S*", text))
    assert bool(named) == (cloud == "AzureCloud")


def test_graph_root_can_be_given(compute: Compute) -> None:
    made = compute(graphRoot="https://graph.example/beta")
    assert made.app_settings()["GRAPH_ROOT"] == "https://graph.example/beta"
