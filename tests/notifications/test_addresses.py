"""Which addresses the service calls: those that were looked up and checked, and no other."""

from __future__ import annotations

import socket

import pytest

from shared.adapters.receivers import Receivers, _Checking
from shared.domain.errors import ReceiverRefused
from tests.support.receiver import Receiver

HOSTS = frozenset(
    {
        *("hooks.contoso.com", "other.example:8443", "127.0.0.1", "localhost"),
        *("[2606:4700::1111]:8443", "[::1]", "10.0.0.1"),
    }
)

NOT_PUBLIC = [
    *("127.0.0.1", "127.9.9.9", "0.0.0.0", "10.1.2.3", "172.16.0.1", "192.168.1.1"),
    *("169.254.169.254", "168.63.129.16", "100.64.0.1", "224.0.0.1", "240.0.0.1"),
    *("255.255.255.255", "192.0.2.1", "198.18.0.1", "::1", "::", "fe80::1", "fe80::1%1"),
    *("fc00::1", "fd12::1", "ff02::1", "::ffff:10.0.0.1", "::ffff:127.0.0.1", "2001:db8::1"),
    *("64:ff9b::a00:1", "64:ff9b:1::1", "2002:a00:1::1", "2001:0:1::1"),
]


@pytest.mark.parametrize("address", NOT_PUBLIC)
async def test_an_address_that_is_not_public_is_refused_after_it_was_looked_up(
    address: str,
) -> None:
    resolver = _Checking(local=False)
    try:
        with pytest.raises(OSError, match="not public"):
            await resolver.resolve(address, 443)
    finally:
        await resolver.close()


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111"])
async def test_the_connection_goes_to_the_address_that_was_checked(address: str) -> None:
    resolver = _Checking(local=False)
    try:
        found = await resolver.resolve(address, 443)
    finally:
        await resolver.close()
    assert [(each["host"], each["port"]) for each in found] == [(address, 443)]
    # Nothing behind the check looks anything up again.
    assert all(each["flags"] & socket.AI_NUMERICHOST for each in found)


async def test_a_name_that_leads_to_this_machine_is_not_called(receiver: Receiver) -> None:
    """`localhost` is on the list, but in Azure it is no host of others."""
    receivers = Receivers(frozenset({f"localhost:{receiver.port}"}), local=False)
    url = f"https://localhost:{receiver.port}/hooks"
    assert receivers.fault_of(url) is None
    try:
        outcome = await receivers.deliver(url, [{}])
        with pytest.raises(ReceiverRefused, match="cannot be reached"):
            await receivers.validate(url, "token")
    finally:
        await receivers.close()
    assert outcome.fault is not None
    assert (receiver.calls, receiver.validations) == ([], [])


@pytest.mark.parametrize(
    "url",
    [
        *("https://hooks.contoso.com.evil.example/", "https://hooks.contoso.com:8443/"),
        *("https://other.example/", "https://evil.example/hooks.contoso.com"),
        *("https://hooks.contoso.com@evil.example/", "https://evil.example#hooks.contoso.com"),
        *("https://evil.example\\@hooks.contoso.com/", "http://hooks.contoso.com/"),
        *("http://127.0.0.1/", "https://127.0.0.1/", "https://2130706433/", "https://0x7f.1/"),
        *("https://hooks.contoso.com\n/", "https://hooks.contoso.com:x/", "https:///x", ""),
        *("https://hooks.contoso.com./", "https://[::1]/", "file:///etc/passwd"),
        *("https://[2606:4700::1111]/", "https://[2606:4700::1111:8443]/", "https://10.0.0.1/"),
    ],
)
def test_a_host_that_the_setting_does_not_name_is_refused(url: str) -> None:
    assert Receivers(HOSTS, local=False).fault_of(url) is not None


@pytest.mark.parametrize(
    "url",
    [
        "https://hooks.contoso.com/a?b=c",
        "https://HOOKS.contoso.com:443/",
        "https://other.example:8443/",
        "https://[2606:4700::1111]:8443/",
    ],
)
def test_a_host_that_the_setting_names_is_taken(url: str) -> None:
    assert Receivers(HOSTS, local=False).fault_of(url) is None


def test_without_hosts_the_feature_is_off() -> None:
    assert not Receivers(frozenset(), local=True).enabled
    assert Receivers(frozenset(), local=True).fault_of("http://127.0.0.1/") is not None


@pytest.mark.parametrize("url", ["http://[::1]:7799/x", "http://localhost:7799/x"])
def test_this_machine_is_called_by_the_names_in_the_setting(url: str) -> None:
    """In local mode, over http; where the name is missing the fault is that, not the scheme."""
    name = url.removeprefix("http://").removesuffix(":7799/x")
    assert Receivers(frozenset({name}), local=True).fault_of(url) is None
    fault = Receivers(frozenset({"127.0.0.1"}), local=True).fault_of(url)
    assert fault is not None
    assert f"may not call '{name}'" in fault
