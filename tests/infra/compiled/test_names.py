"""Any name that azd takes for an environment becomes names that Azure takes, or is refused."""

from __future__ import annotations

import pytest

from tests.infra.compiled.conftest import Compute, Refused
from tests.infra.test_resources import check_names

# azd: letters, digits, hyphens, underscores, dots and parentheses, 1 to 64 of them.
LONGEST = "Environment-of-the-City-of-Sundsvall_and.its(69)schools--for-2026"[:64]
NAMES = [
    *("a", "7", "dev", "PROD_1", "my.env", "(test)", "-leading", "trailing-", "dou--ble"),
    *("_", ".-_()", "a" * 64, "a-" * 32, "x" * 19 + "-y", LONGEST),
]


@pytest.mark.parametrize("name", NAMES)
def test_every_name_is_one_that_azure_takes(compute: Compute, name: str) -> None:
    made = compute(environmentName=name, privateNetwork=True, serviceBusSku="Premium")
    check_names(made)
    assert made.one("Microsoft.Resources/resourceGroups")["tags"]["azd-env-name"] == name


def test_a_plain_name_stays_as_it_is(compute: Compute) -> None:
    assert compute(environmentName="prod-2").base.startswith("idp-prod-2-")


def test_environments_with_the_same_words_have_different_names(compute: Compute) -> None:
    first, second = compute(environmentName="a-b"), compute(environmentName="a_b")
    assert first.base.rpartition("-")[0] == second.base.rpartition("-")[0] == "idp-a-b"
    for kind in (
        "Microsoft.DocumentDB/databaseAccounts",
        "Microsoft.KeyVault/vaults",
        "Microsoft.Storage/storageAccounts",
    ):
        names = [{each["name"] for each in made.of(kind)} for made in (first, second)]
        assert names[0].isdisjoint(names[1])


@pytest.mark.parametrize("name", ["", "a" * 65])
def test_what_azd_would_not_take_is_refused(compute: Compute, name: str) -> None:
    with pytest.raises(Refused, match="BCP33"):
        compute(environmentName=name)
