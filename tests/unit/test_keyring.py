"""Passwords at rest: what is stored says nothing, opens with its key, and only for its flow."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from shared.adapters.keyring import Keyring
from shared.domain.context import LOCAL_TENANT
from shared.domain.errors import SettingsError, UnreadablePassword
from shared.domain.secrets import Secret

FLOW = "f66e97ad-0870-46e0-3ff3-08dc49dccdc9"
OWNER = (FLOW, "staff")
OTHER_FLOW = "f66e97ad-0870-46e0-3ff4-08dc49dccdc9"
OLD = f"old:{base64.b64encode(b'o' * 32).decode()}"
NEW = f"new:{base64.b64encode(b'n' * 32).decode()}"


@given(st.text(st.characters(codec="utf-8")))
def test_every_password_opens_as_it_was_sealed(password: str) -> None:
    ring = Keyring.read(NEW, LOCAL_TENANT)
    assert ring.open(ring.seal(Secret(password), *OWNER), *OWNER).reveal() == password


def test_the_sealed_form_does_not_show_the_password() -> None:
    sealed = Keyring.read(NEW, LOCAL_TENANT).seal(Secret("correct horse"), *OWNER)
    assert set(sealed) == {"keyId", "sealed", "bound"}
    assert b"correct horse" not in base64.b64decode(sealed["sealed"])


def test_the_same_password_never_looks_the_same_twice() -> None:
    ring = Keyring.read(NEW, LOCAL_TENANT)
    sealed = {ring.seal(Secret("correct horse"), *OWNER)["sealed"] for _ in range(50)}
    nonces = {base64.b64decode(text)[:12] for text in sealed}
    assert len(sealed) == len(nonces) == 50


def test_a_sealed_password_opens_for_its_own_flow_only() -> None:
    ring = Keyring.read(NEW, LOCAL_TENANT)
    sealed = ring.seal(Secret("correct horse"), *OWNER)
    with pytest.raises(UnreadablePassword, match="Set a new password"):
        ring.open(sealed, OTHER_FLOW, "staff")


def test_a_sealed_password_opens_for_its_own_role_group_only() -> None:
    ring = Keyring.read(NEW, LOCAL_TENANT)
    sealed = ring.seal(Secret("correct horse"), *OWNER)
    for moved in (sealed, {name: sealed[name] for name in ("keyId", "sealed")}):
        with pytest.raises(UnreadablePassword, match="was changed"):
            ring.open(moved, FLOW, "students")


def test_what_was_sealed_for_a_whole_flow_still_opens_and_is_outdated() -> None:
    ring = Keyring.read(NEW, LOCAL_TENANT)
    nonce = b"n" * 12
    raw = nonce + AESGCM(b"n" * 32).encrypt(nonce, b"correct horse", FLOW.encode())
    sealed = {"keyId": "new", "sealed": base64.b64encode(raw).decode()}
    assert ring.open(sealed, *OWNER) == Secret("correct horse")
    assert ring.is_outdated(sealed)
    assert not ring.is_outdated(ring.seal(Secret("correct horse"), *OWNER))


@pytest.mark.parametrize("value", ["", "AA==", "A", "no base64!", None, 7, ["x"]])
def test_an_odd_sealed_value_is_an_unreadable_password(value: Any) -> None:
    with pytest.raises(UnreadablePassword, match="was changed"):
        Keyring.read(NEW, LOCAL_TENANT).open(
            {"keyId": "new", "sealed": value, "bound": "tenant"}, *OWNER
        )
    with pytest.raises(UnreadablePassword):
        Keyring.read(NEW, LOCAL_TENANT).open({}, *OWNER)


@pytest.mark.parametrize("at", [0, 11, 12, -16, -1])
def test_a_changed_byte_is_noticed(at: int) -> None:
    ring = Keyring.read(NEW, LOCAL_TENANT)
    sealed = ring.seal(Secret("correct horse"), *OWNER)
    raw = bytearray(base64.b64decode(sealed["sealed"]))
    raw[at] ^= 1
    with pytest.raises(UnreadablePassword, match="was changed"):
        ring.open({**sealed, "sealed": base64.b64encode(raw).decode()}, *OWNER)


def test_the_first_key_seals() -> None:
    assert Keyring.read(f"{NEW},{OLD}", LOCAL_TENANT).seal(Secret("x"), *OWNER)["keyId"] == "new"
    assert Keyring.read(f"{OLD},{NEW}", LOCAL_TENANT).seal(Secret("x"), *OWNER)["keyId"] == "old"


def test_what_an_older_key_sealed_still_opens_after_a_new_one_came_first() -> None:
    sealed = Keyring.read(OLD, LOCAL_TENANT).seal(Secret("correct horse"), *OWNER)
    assert Keyring.read(f"{NEW},{OLD}", LOCAL_TENANT).open(sealed, *OWNER) == Secret(
        "correct horse"
    )


def test_a_key_that_was_taken_out_is_named_by_its_id() -> None:
    sealed = Keyring.read(OLD, LOCAL_TENANT).seal(Secret("correct horse"), *OWNER)
    with pytest.raises(UnreadablePassword, match="'old', which PASSWORD_KEYS does not hold"):
        Keyring.read(NEW, LOCAL_TENANT).open(sealed, *OWNER)


def test_another_key_under_the_same_id_does_not_open() -> None:
    sealed = Keyring.read(OLD, LOCAL_TENANT).seal(Secret("correct horse"), *OWNER)
    with pytest.raises(UnreadablePassword, match="the key under that id is another"):
        Keyring.read(NEW.replace("new:", "old:"), LOCAL_TENANT).open(sealed, *OWNER)


def test_spaces_around_entries_do_not_count() -> None:
    ring = Keyring.read(f" {NEW} ,\n{OLD} ", LOCAL_TENANT)
    assert ring.seal(Secret("x"), *OWNER)["keyId"] == "new"


@pytest.mark.parametrize(
    ("text", "entry"),
    [
        ("", 1),
        ("new", 1),
        ("new:", 1),
        (NEW.removeprefix("new"), 1),
        (f"new:{base64.b64encode(b'n' * 31).decode()}", 1),
        (f"new:{base64.b64encode(b'n' * 33).decode()}", 1),
        (NEW.removesuffix("="), 1),
        (f"{NEW}!", 1),
        ("new:schlüssel", 1),
        ("<make writes a new random key here>", 1),
        (f"{NEW},", 2),
        (f"{NEW},old", 2),
        (f"{NEW},{OLD},{NEW}", 3),
    ],
)
def test_a_bad_entry_is_named_by_its_place(text: str, entry: int) -> None:
    with pytest.raises(SettingsError, match=rf"PASSWORD_KEYS must .* entry {entry} is not"):
        Keyring.read(text, LOCAL_TENANT)


def test_a_refusal_shows_no_key() -> None:
    with pytest.raises(SettingsError) as refused:
        Keyring.read(f"{NEW},old:tooShortToBeAKey", LOCAL_TENANT)
    assert "tooShortToBeAKey" not in str(refused.value)
    assert NEW.partition(":")[2] not in str(refused.value)


def test_a_secret_shows_its_value_only_by_reveal() -> None:
    secret = Secret("correct horse")
    assert "correct" not in f"{secret} {secret!r} {[secret]} {vars(type(secret))}"
    assert secret.reveal() == "correct horse"


# --- tenants -----------------------------------------------------------------------------------

OTHER_TENANT = "10ca1000-0000-4000-8000-000000000002"


def for_tenant(entry: str, tenant: str) -> str:
    """An entry of the ring that is for one tenant only."""
    return entry.replace(":", f"@{tenant}:", 1)


def test_a_sealed_password_opens_for_its_own_tenant_only() -> None:
    sealed = Keyring.read(NEW, LOCAL_TENANT).seal(Secret("correct horse"), *OWNER)
    with pytest.raises(UnreadablePassword, match="was changed"):
        Keyring.read(NEW, OTHER_TENANT).open(sealed, *OWNER)


def test_a_key_of_one_tenant_is_in_no_other_ring() -> None:
    text = f"{for_tenant(NEW, LOCAL_TENANT.upper())},{OLD}"
    sealed = Keyring.read(text, LOCAL_TENANT).seal(Secret("x"), *OWNER)
    assert sealed["keyId"] == "new"
    other = Keyring.read(text, OTHER_TENANT)
    assert other.current == "old"
    with pytest.raises(UnreadablePassword, match="'new', which PASSWORD_KEYS does not hold"):
        other.open(sealed, *OWNER)


def test_a_tenant_without_a_key_is_named() -> None:
    with pytest.raises(SettingsError, match=f"no key for the tenant {OTHER_TENANT}"):
        Keyring.read(for_tenant(NEW, LOCAL_TENANT), OTHER_TENANT)


@pytest.mark.parametrize("tenant", ["", "contoso.com", "*"])
def test_the_tenant_of_a_key_is_a_guid(tenant: str) -> None:
    with pytest.raises(SettingsError, match=r"entry 2 is not"):
        Keyring.read(f"{NEW},{for_tenant(OLD, tenant)}", LOCAL_TENANT)


def test_tenants_sign_with_keys_of_their_own() -> None:
    rings = [Keyring.read(NEW, tenant) for tenant in (LOCAL_TENANT, OTHER_TENANT)]
    assert len({ring.signing_key("skiptoken") for ring in rings}) == 2
