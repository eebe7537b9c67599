"""Which addresses https may reach."""

import ipaddress

import pytest

from worker.adapters.blob.addresses import AddressRules, PrivateAddressError, PublicResolver


@pytest.mark.parametrize(
    "address", ["1.1.1.1", "8.8.8.8", "2606:4700:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"]
)
def test_public_addresses_pass(address: str) -> None:
    AddressRules().check(address)
    with pytest.raises(PrivateAddressError):
        AddressRules([ipaddress.ip_network("10.0.0.0/8")]).check("127.0.0.1")


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.8.8.8",
        "0.0.0.0",  # noqa: S104 - this machine, to a client
        "10.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "168.63.129.16",
        "100.64.0.1",
        "192.0.0.8",
        "192.88.99.1",
        "198.18.0.1",
        "224.0.0.1",
        "239.1.1.1",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "fe80::1",
        "fe80::1%eth0",
        "fec0::1",
        "fc00::1",
        "fd12:3456::1",
        "fd00:ec2::254",
        "ff02::1",
        "2001:db8::1",
        "::ffff:127.0.0.1",
        "::ffff:a9fe:a9fe",
        "::127.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b:1::1",
        "2002:7f00:1::",
        "2001:0:7f00:1::1",
        "3fff::1",
        "5f00::1",
    ],
)
def test_every_other_is_refused_unless_its_network_is_named(address: str) -> None:
    with pytest.raises(PrivateAddressError):
        AddressRules().check(address)
    every = [ipaddress.ip_network("0.0.0.0/0"), ipaddress.ip_network("::/0")]
    AddressRules(every).check(address)


def test_a_network_of_ipv4_is_named_for_its_mapped_addresses_too() -> None:
    surroundings = AddressRules([ipaddress.ip_network("10.1.0.0/16")])
    surroundings.check("10.1.2.3")
    surroundings.check("::ffff:10.1.2.3")
    with pytest.raises(PrivateAddressError):
        surroundings.check("::ffff:10.2.2.3")


async def test_a_name_is_refused_by_its_addresses() -> None:
    resolver = PublicResolver(AddressRules())
    with pytest.raises(PrivateAddressError):
        await resolver.resolve("localhost", 443)
    allowing = PublicResolver(AddressRules([ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128")]))
    assert {found["port"] for found in await allowing.resolve("localhost", 443)} == {443}
    await resolver.close()
    await allowing.close()
