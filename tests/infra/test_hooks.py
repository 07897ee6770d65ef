"""The hooks that make the first password key; those for POSIX and for PowerShell behave alike."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from shared.adapters.keyring import Keyring
from shared.domain.context import LOCAL_TENANT
from tests.infra.azure_cli import AzureCli, install
from tests.infra.plan import ROOT, read

HOOK = ROOT / "infra/hooks/postprovision.sh"
SETTINGS = {
    "AZURE_SUBSCRIPTION_ID": "11111111-1111-1111-1111-111111111111",
    "AZURE_RESOURCE_GROUP": "rg-test",
    "AZURE_KEY_VAULT_NAME": "kv-test",
    "KEY_RING_NAME": "password-keys",
    "FUNCTION_APP_NAME": "func-test",
}
COMMANDS = {
    "sh": ["sh", str(HOOK)],
    "bash": ["bash", "--posix", str(HOOK)],
    "pwsh": ["pwsh", "-NoProfile", "-NonInteractive", "-File", str(HOOK.with_suffix(".ps1"))],
}
# PowerShell is tested where it is installed, as on GitHub's machines.
SHELLS = [shell for shell in COMMANDS if shutil.which(shell)]

LIST, DEPLOY, REFRESH = ["rest", "get"], ["deployment"], ["rest", "post"]
THERE = (LIST, 0, "other\npassword-keys")
# Neither a name that contains the secret's nor one in another case is the secret.
NOT_THERE = (LIST, 0, "other-password-keys\nPassword-Keys")


@pytest.fixture
def az(tmp_path: Path) -> AzureCli:
    """An `az` that answers as a test says."""
    return install(tmp_path / "az")


def run(az: AzureCli, shell: str, **changes: str) -> subprocess.CompletedProcess[str]:
    """Run a hook with its settings; a change to "" leaves one out."""
    settings = {**SETTINGS, **changes}
    return subprocess.run(
        COMMANDS[shell],
        env={**az.environment, **{name: value for name, value in settings.items() if value}},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_a_posix_shell_is_there() -> None:
    assert "sh" in SHELLS


@pytest.mark.parametrize("shell", SHELLS)
def test_a_key_that_is_there_is_kept(az: AzureCli, shell: str) -> None:
    az.answer(THERE)
    done = run(az, shell)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.strip() == "The vault has password-keys already: kept."
    assert len(az.calls) == 1


@pytest.mark.parametrize("shell", SHELLS)
def test_a_key_is_made_that_the_app_can_use(az: AzureCli, shell: str) -> None:
    az.answer(NOT_THERE)
    done = run(az, shell)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.strip() == "Made password-keys with a new random key."
    listing, deployment, refresh = az.calls
    group = f"/subscriptions/{SETTINGS['AZURE_SUBSCRIPTION_ID']}/resourceGroups/rg-test/providers"
    assert listing["arguments"][:5] == [
        *("rest", "--method", "get", "--url"),
        f"{group}/Microsoft.KeyVault/vaults/kv-test/secrets?api-version=2025-05-01",
    ]
    arguments = deployment["arguments"]
    assert arguments[:3] == ["deployment", "group", "create"]
    for option, value in {
        "--name": "password-keys",
        "--subscription": SETTINGS["AZURE_SUBSCRIPTION_ID"],
        "--resource-group": "rg-test",
        "--parameters": "vaultName=kv-test",
        "--output": "none",
    }.items():
        assert arguments[arguments.index(option) + 1] == value
    assert "secretName=password-keys" in arguments
    template = Path(arguments[arguments.index("--template-file") + 1])
    assert template.resolve() == ROOT / "infra/password-keys.bicep"
    (file,) = deployment["files"].values()
    Keyring.read(json.loads(file["text"])["passwordKeys"]["value"], LOCAL_TENANT)
    assert refresh["arguments"][:5] == [
        *("rest", "--method", "post", "--url"),
        f"{group}/Microsoft.Web/sites/func-test"
        "/config/configreferences/appsettings/refresh?api-version=2022-03-01",
    ]


@pytest.mark.parametrize("shell", SHELLS)
def test_another_key_is_made_each_time(az: AzureCli, shell: str) -> None:
    for _ in range(2):
        assert run(az, shell).returncode == 0
    texts = [file["text"] for call in az.calls for file in call["files"].values()]
    assert len(texts) == len(set(texts)) == 2


@pytest.mark.parametrize("shell", SHELLS)
def test_the_key_is_never_printed(az: AzureCli, shell: str) -> None:
    done = run(az, shell)
    ((argument, file),) = [item for call in az.calls for item in call["files"].items()]
    key = json.loads(file["text"])["passwordKeys"]["value"].partition(":")[2]
    assert key not in done.stdout + done.stderr
    assert not any(key in word for call in az.calls for word in call["arguments"])
    assert file["mode"] == 0o600
    assert not Path(argument[1:]).exists()


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    ("words", "calls"), [(LIST, 1), (DEPLOY, 2), (REFRESH, 3)], ids=["list", "deploy", "refresh"]
)
def test_a_call_that_fails_ends_the_hook(
    az: AzureCli, shell: str, words: list[str], calls: int
) -> None:
    """Above all, no key is made when it is not known whether there is one."""
    az.answer((words, 1, "AuthorizationFailed"), NOT_THERE)
    done = run(az, shell)
    assert done.returncode != 0
    assert "AuthorizationFailed" in done.stderr
    assert "Made" not in done.stdout
    assert len(az.calls) == calls
    for call in az.calls:
        assert not any(Path(argument[1:]).exists() for argument in call["files"])


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("name", SETTINGS)
def test_a_missing_setting_is_named(az: AzureCli, shell: str, name: str) -> None:
    done = run(az, shell, **{name: ""})
    assert done.returncode != 0
    assert name in done.stderr
    assert az.calls == []


def test_hooks_for_both_kinds_of_shell_say_the_same() -> None:
    """What is compared where PowerShell is not installed."""
    posix = HOOK.read_text("utf-8")
    windows = HOOK.with_suffix(".ps1").read_text("utf-8")
    for text in (posix, windows):
        for name in SETTINGS:
            assert name in text
        assert re.findall(r"api-version=([\d-]+)", text) == ["2025-05-01", "2022-03-01"]
        assert re.findall(r"\baz (rest --method \w+|deployment group create)", text) == [
            "rest --method get",
            "deployment group create",
            "rest --method post",
        ]


def test_azd_gives_the_hooks_what_they_need() -> None:
    assert set(SETTINGS) - {"AZURE_SUBSCRIPTION_ID"} <= set(read("dev").outputs)
