"""Where a webhook may lead: no address that is not the public internet's, however it is written."""

from __future__ import annotations

import asyncio
import ipaddress

import pytest

from cpmqr.server.receivers import Receiver, ReceiverRefused, is_public, pinned

PUBLIC = ["1.1.1.1", "203.0.114.1", "2606:4700::1111", "2001:4860:4860::8888"]
NOT_PUBLIC = [
    "0.0.0.0",
    "10.0.0.1",
    "100.64.0.1",
    "127.0.0.1",
    "127.255.255.254",
    "169.254.169.254",
    "172.16.0.1",
    "192.0.2.1",
    "192.168.1.1",
    "198.18.0.1",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "2002:7f00:1::",
    "2002:c0a8:101::",
    "2001:0:4136:e378:8000:63bf:3fff:fdd2",
    "fc00::1",
    "fe80::1",
    "ff02::1",
    "2001:db8::1",
]


def pin(url: str, *, private_allowed: bool = False) -> Receiver:
    return asyncio.run(pinned(url, private_allowed=private_allowed))


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_is_public(address: str) -> None:
    assert is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_an_inner_address_is_refused_unless_it_is_allowed(address: str) -> None:
    url = f"https://[{address}]/told" if ":" in address else f"https://{address}/told"
    with pytest.raises(ReceiverRefused) as refused:
        pin(url)
    assert address not in str(refused.value)
    assert pin(url, private_allowed=True).host == address


@pytest.mark.parametrize(
    "url",
    ["http://localhost/", "http://127.1/", "http://0x7f000001/", "http://2130706433/", "http://0177.0.0.1/"],
)
def test_other_spellings_of_this_machine_are_refused_too(url: str) -> None:
    with pytest.raises(ReceiverRefused):
        pin(url)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "ftp://1.1.1.1/",
        "file:///etc/passwd",
        "https://",
        "https://[::1",
        "https://1.1.1.1:99999/",
        "//1.1.1.1",
        "https://no such host/",
        "https://" + "a" * 300 + "/",
        "https://xn--\udc00/",
    ],
)
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(ReceiverRefused):
        pin(url)


@pytest.mark.parametrize(
    ("url", "pinned_url", "host_header"),
    [
        ("https://1.1.1.1", "https://1.1.1.1/", "1.1.1.1"),
        ("https://1.1.1.1:8443/a/b?c=d", "https://1.1.1.1:8443/a/b?c=d", "1.1.1.1:8443"),
        ("http://[2606:4700::1111]:80/x", "http://[2606:4700::1111]:80/x", "[2606:4700::1111]:80"),
    ],
)
def test_path_query_and_port_are_kept(url: str, pinned_url: str, host_header: str) -> None:
    where = pin(url)
    assert (where.url, where.host_header) == (pinned_url, host_header)


def test_a_name_is_replaced_by_its_address_and_kept_for_the_certificate() -> None:
    where = pin("https://localhost:8443/told", private_allowed=True)
    assert where.host == "localhost"
    assert where.host_header == "localhost:8443"
    assert where.url in ("https://127.0.0.1:8443/told", "https://[::1]:8443/told")
