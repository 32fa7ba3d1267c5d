"""HTTP to this service's own addresses (health, administration, engine hosts), past any proxy.

A proxy of the environment would be asked for what only this machine or its neighbours can answer, and would
be handed the key of the administrator. Calls to platforms go as the environment says, unless a relay on this
machine is set in their place.
"""

from __future__ import annotations

import ipaddress
import os
import socket
from contextlib import suppress
from urllib.parse import urlsplit

import requests

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def direct_session() -> requests.Session:
    """Without the environment's proxies, and without ~/.netrc: its entries would replace a given key.

    A certificate authority of one's own, in REQUESTS_CA_BUNDLE or CURL_CA_BUNDLE, still counts.
    """
    session = requests.Session()
    session.trust_env = False
    session.verify = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE") or True
    return session


def is_here(url: str) -> bool:
    """Whether an address is this machine's: loopback, one of its interfaces, or its own name.

    Other names are not looked up: where they lead here, NO_PROXY says so.
    """
    host = (urlsplit(url).hostname or "").rstrip(".")
    own = socket.gethostname().lower()
    if host in ("localhost", own, own.partition(".")[0]) or host.endswith(".localhost"):
        return True
    address = _address(host)
    return address is not None and (
        address.is_loopback or address.is_unspecified or _is_of_an_interface(address)
    )


def _address(host: str) -> Address | None:
    """Also of 127.1 and other short forms, as the system reads them."""
    with suppress(ValueError):
        address = ipaddress.ip_address(host.partition("%")[0])
        return getattr(address, "ipv4_mapped", None) or address
    with suppress(OSError):
        return ipaddress.IPv4Address(socket.inet_aton(host))
    return None


def _is_of_an_interface(address: Address) -> bool:
    family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
    with suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.bind((str(address), 0))
        return True
    return False


def session_for(url: str) -> requests.Session:
    """For an address that somebody configured, or a platform: past the proxy if it is on this machine, and
    without ~/.netrc."""
    if is_here(url):
        return direct_session()
    session = requests.Session()
    session.auth = lambda request: request  # asked first, so that ~/.netrc is not
    return session
