"""HTTP to this service's own addresses (health, administration, engine hosts), past any proxy.

A proxy of the environment would be asked for what only this machine or its neighbours can answer, and would
be handed the key of the administrator. Calls to platforms go as the environment says.
"""

from __future__ import annotations

import ipaddress
import os
from urllib.parse import urlsplit

import requests


def direct_session() -> requests.Session:
    """Without the environment's proxies, and without ~/.netrc: its entries would replace a given key.

    A certificate authority of one's own, in REQUESTS_CA_BUNDLE or CURL_CA_BUNDLE, still counts.
    """
    session = requests.Session()
    session.trust_env = False
    session.verify = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE") or True
    return session


def is_loopback(url: str) -> bool:
    """Whether the address is on this machine, as far as it says so itself."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def session_for(url: str) -> requests.Session:
    """For an address that somebody configured: past the proxy if it is on this machine."""
    return direct_session() if is_loopback(url) else requests.Session()
