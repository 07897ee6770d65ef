"""What the parameters change that neither environment sets."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from tests.infra.compiled.conftest import Compute
from tests.infra.plan import Plan
from tests.infra.test_roles import APP, DEVELOPER, assigned

COSMOS = "Microsoft.DocumentDB/databaseAccounts"
SOMEONE = "44444444-4444-4444-4444-444444444444"


def scale(made: Plan) -> Any:
    site = made.one("Microsoft.Web/sites")["properties"]
    return site["functionAppConfig"]["scaleAndConcurrency"]


def test_a_developer_reads_the_key_ring_only_by_a_second_setting(compute: Compute) -> None:
    key_ring = (DEVELOPER, "Key Vault Secrets User", "the vault")
    assert key_ring not in assigned(compute(developerPrincipalId=SOMEONE))
    assert key_ring in assigned(compute(developerPrincipalId=SOMEONE, developerReadsKeyRing=True))
    alone = assigned(compute(developerReadsKeyRing=True))
    assert {who for who, _, _ in alone} == {APP, "deployments"}


def test_a_developer_may_be_a_group(compute: Compute) -> None:
    made = compute(developerPrincipalId=SOMEONE, developerPrincipalType="Group")
    kinds = [
        each["properties"]["principalType"]
        for each in made.of("Microsoft.Authorization/roleAssignments")
        if each["properties"]["principalId"] == SOMEONE
    ]
    assert kinds == ["Group"]


def test_without_exact_scaling_the_app_does_not_own_the_queue(compute: Compute) -> None:
    owner = (APP, "Service Bus Data Owner", "the queue")
    assert owner in assigned(compute())
    assert owner not in assigned(compute(exactQueueScaling=False))


@pytest.mark.parametrize(
    ("level", "region", "expected"),
    [
        ("automatic", "", "Strong"),
        ("automatic", "northeurope", "BoundedStaleness"),
        ("Session", "northeurope", "Session"),
        ("Strong", "northeurope", "Strong"),
        ("BoundedStaleness", "", "BoundedStaleness"),
    ],
)
def test_consistency_is_a_parameter(
    compute: Compute, level: str, region: str, expected: str
) -> None:
    made = compute(cosmosCapacity="autoscale", cosmosConsistency=level, cosmosSecondRegion=region)
    policy = made.one(COSMOS)["properties"]["consistencyPolicy"]
    bounds = {"maxIntervalInSeconds": 300, "maxStalenessPrefix": 100000}
    assert policy == {
        "defaultConsistencyLevel": expected,
        **(bounds if expected == "BoundedStaleness" else {}),
    }


def test_a_serverless_account_has_one_region(compute: Compute) -> None:
    made = compute(cosmosSecondRegion="northeurope").one(COSMOS)["properties"]
    assert len(made["locations"]) == 1
    assert made["consistencyPolicy"]["defaultConsistencyLevel"] == "Strong"


def test_cors_origins_are_a_parameter(compute: Compute) -> None:
    made = compute(corsOrigins="https://one.example,https://two.example")
    assert made.app_settings()["CORS_ORIGINS"] == "https://one.example,https://two.example"


def test_scale_is_a_parameter(compute: Compute) -> None:
    made = compute(
        alwaysReadyInstances=3, maximumInstanceCount=7, httpConcurrency=9, instanceMemoryMB=4096
    )
    assert scale(made) == {
        "instanceMemoryMB": 4096,
        "maximumInstanceCount": 7,
        "alwaysReady": [{"name": "http", "instanceCount": 3}],
        "triggers": {"http": {"perInstanceConcurrency": 9}},
    }


def test_without_an_address_alerts_show_in_the_portal_only(compute: Compute) -> None:
    made = compute()
    assert made.of("Microsoft.Insights/actionGroups") == []
    for alert in made.of("Microsoft.Insights/metricAlerts"):
        assert alert["properties"]["actions"] == []
    for alert in made.of("Microsoft.Insights/scheduledQueryRules"):
        assert alert["properties"]["actions"] == {"actionGroups": []}


def test_a_standard_namespace_has_no_private_endpoint_and_stays_open(compute: Compute) -> None:
    made = compute(privateNetwork=True)
    names = [each["name"] for each in made.of("Microsoft.Network/privateEndpoints")]
    assert [name.removesuffix(f"-{made.base}") for name in names] == [
        *("pe-blob", "pe-package", "pe-cosmos", "pe-vault"),
    ]
    assert len(made.of("Microsoft.Network/privateDnsZones")) == 3
    namespace = made.one("Microsoft.ServiceBus/namespaces")
    assert namespace["properties"]["publicNetworkAccess"] == "Enabled"
    assert namespace["sku"] == {"name": "Standard", "tier": "Standard"}


def test_messaging_units_are_those_of_a_premium_namespace(compute: Compute) -> None:
    made = compute(serviceBusSku="Premium", serviceBusMessagingUnits=4)
    assert made.one("Microsoft.ServiceBus/namespaces")["sku"]["capacity"] == 4


def test_the_key_ring_expires_a_year_after_it_was_made(compute: Compute) -> None:
    made = compute(
        "password-keys.bicep",
        vaultName="kv-some",
        secretName="password-keys",
        passwordKeys="a:b",
        madeAt="2026-11-30T00:00:00Z",
    )
    secret = made.one("Microsoft.KeyVault/vaults/secrets")
    assert secret["name"] == "kv-some/password-keys"
    expiry = dt.datetime(2027, 11, 30, tzinfo=dt.UTC)
    assert secret["properties"] == {
        "contentType": "PASSWORD_KEYS",
        "value": "[parameters('passwordKeys')]",
        "attributes": {"exp": int(expiry.timestamp())},
    }
