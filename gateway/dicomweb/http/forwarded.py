"""What proxies say of the URL that their clients used: ``Forwarded`` and ``X-Forwarded-*``."""

from __future__ import annotations

import ipaddress
import re
from functools import lru_cache

from gateway.core.errors import InvalidInput

_AUTHORITY = re.compile(r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")
_PREFIX = re.compile(r"(?:/[A-Za-z0-9._~-]+)*/?")
_PAIR = re.compile(r'\s*([!#$%&\'*+.^_`|~0-9A-Za-z-]+)=("(?:[^"\\]|\\.)*"|[^\s";,]*)\s*')
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@lru_cache(1024)
def forwarded_url(header: str, proxies: tuple[Network, ...]) -> str:
    """Return the URL of the server that ``Forwarded`` (RFC 7239) tells; empty if none.

    Each proxy appends an element; the last one was written by the proxy that we trust, and one
    before it counts only if the next says that it came from a trusted proxy too.

    Raises
    ------
    InvalidInput
        If it is malformed.
    """
    url = ""
    for element in reversed(_forwarded(header)):
        if "host" in element:
            url = _url(element.get("proto", "http"), element["host"])
        if not is_within(_node(element.get("for", "")), proxies):
            break
    return url


@lru_cache(1024)
def x_forwarded_url(
    protos: str, hosts: str, ports: str, prefixes: str, clients: str, proxies: tuple[Network, ...]
) -> str:
    """Return the URL of the server that ``X-Forwarded-*`` tell; empty if none.

    Of a header to which several proxies append, what the first of the trusted ones wrote is taken.

    Raises
    ------
    InvalidInput
        If one of them is malformed.
    """
    if not hosts:
        return ""
    hops = 1
    for client in reversed(_listed(clients)):
        if not is_within(_node(client), proxies):
            break
        hops += 1
    proto, host, port, prefix = (
        values[-min(hops, len(values))] if (values := _listed(header)) else ""
        for header in (protos, hosts, ports, prefixes)
    )
    if port and not re.search(r":[0-9]+$", host):
        host = f"{host}:{port}"
    return _url(proto or "http", host, prefix)


def _url(proto: str, host: str, prefix: str = "") -> str:
    proto, host = proto.lower(), host.lower()
    if proto not in _DEFAULT_PORTS or not _AUTHORITY.fullmatch(host):
        raise InvalidInput("The proxy tells a host or protocol that cannot be.")
    if not _PREFIX.fullmatch(prefix):
        raise InvalidInput("The proxy tells a prefix that cannot be.")
    return f"{proto}://{host.removesuffix(_DEFAULT_PORTS[proto])}{prefix.rstrip('/')}"


def _listed(header: str) -> list[str]:
    return [text for value in header.split(",") if (text := value.strip())]


def _forwarded(header: str) -> list[dict[str, str]]:
    """Take the elements of ``Forwarded`` apart: names in lower case, values without quotes."""
    elements: list[dict[str, str]] = [{}]
    position = 0
    while position < len(header):
        if (sign := header[position]) in ",; \t":
            if sign == ",":
                elements.append({})
            position += 1
            continue
        if not (pair := _PAIR.match(header, position)):
            raise InvalidInput("The header Forwarded is malformed.")
        name, value = pair[1].lower(), pair[2]
        if value.startswith('"'):
            value = re.sub(r"\\(.)", r"\1", value[1:-1])
        elements[-1][name] = value
        position = pair.end()
    return [element for element in elements if element]


def _node(text: str) -> str:
    """Return the address in ``192.0.2.1:80`` or ``[2001:db8::1]:80``."""
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text.partition(":")[0] if text.count(":") == 1 else text


@lru_cache(1024)
def is_within(address: str, networks: tuple[Network, ...]) -> bool:
    """Return whether an IP address lies in one of the networks; other text does not."""
    try:
        number = ipaddress.ip_address(address)
    except ValueError:
        return False
    mapped = getattr(number, "ipv4_mapped", None)
    return any((mapped or number) in network for network in networks)
