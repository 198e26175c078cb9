"""URLs in answers lead back to the server, whatever stands in front of it."""

from __future__ import annotations

import contextlib
import ipaddress
import json
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.test import Client

from gateway.core.errors import InvalidInput
from gateway.dicomweb.http.addresses import Addresses, PublicAddress, root_of
from gateway.dicomweb.http.forwarded import forwarded_url, x_forwarded_url
from gateway.settings import Web, web
from tests.conftest import Server, serving, slidegate
from tests.dicomweb.proxy import free_port, nginx
from tests.factories import SvsTruth

PROXIES = (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("10.0.0.0/8"))
LISTENED = "http://127.0.0.1:8080"


# -- what is configured


def test_urls_and_origins_are_kept_as_browsers_write_them() -> None:
    assert web(
        "HTTPS://Pacs.Example:443/pathology/",
        "http://[::1]:8080/wado-rs",
        ["10.1.0.0/16", "::1"],
        ["https://viewer.example:443/", "http://LOCALHOST:3000"],
    ) == Web(
        "https://pacs.example/pathology",
        "http://[::1]:8080/wado-rs",
        ("10.1.0.0/16", "::1/128"),
        ("https://viewer.example", "http://localhost:3000"),
    )


@pytest.mark.parametrize(
    "given_",
    [
        {"public_url": "pacs.example"},
        {"public_url": "ftp://pacs.example"},
        {"public_url": "https://user:secret@pacs.example"},
        {"public_url": "https://pacs.example?x"},
        {"wado_url": "https://pacs.example:port"},
        {"wado_url": "https://pacs.example/a b"},
        {"trusted_proxies": ["proxy"]},
        {"cors_origins": ["*"]},
        {"cors_origins": ["null"]},
        {"cors_origins": ["https://viewer.example/path"]},
    ],
)
def test_what_is_no_url_network_or_origin_is_told(given_: dict[str, Any]) -> None:
    nothing = {"public_url": "", "wado_url": "", "trusted_proxies": (), "cors_origins": ()}
    with pytest.raises(InvalidInput):
        web(**(nothing | given_))


# -- what a proxy says


@pytest.mark.req("REQ-HTTP-01")
@pytest.mark.parametrize(
    ("header", "url"),
    [
        ("", ""),
        ("for=192.0.2.1", ""),
        ("host=pacs.example;proto=https", "https://pacs.example"),
        ('For="[2001:db8::1]:4711" ; Proto=HTTPS;Host="PACS.example:8443"', "https://pacs.example:8443"),
        ('host="pacs.example:443";proto=https', "https://pacs.example"),
        # The last element is our proxy's; what stands before came from its client ...
        ("host=evil.example, for=192.0.2.1;host=pacs.example", "http://pacs.example"),
        # ... unless that is a trusted proxy as well.
        ("for=192.0.2.1;host=pacs.example;proto=https, for=10.0.0.2;host=inner", "https://pacs.example"),
        ('host=evil.example, host=pacs.example, for="10.0.0.2:9"', "http://pacs.example"),
        ('for="_hidden, x";host="pacs\\.example"', "http://pacs.example"),
    ],
)  # fmt: skip
def test_forwarded_is_read_from_its_end(header: str, url: str) -> None:
    assert forwarded_url(header, PROXIES) == url


@pytest.mark.req("REQ-HTTP-01")
@pytest.mark.parametrize(
    ("proto", "host", "port", "prefix", "clients", "url"),
    [
        ("https", "", "", "", "", ""),
        ("https", "pacs.example", "", "", "", "https://pacs.example"),
        ("", "pacs.example", "8443", "/a/", "", "http://pacs.example:8443/a"),
        ("https", "pacs.example:8443", "443", "", "", "https://pacs.example:8443"),
        ("https", "[2001:db8::1]", "8443", "", "", "https://[2001:db8::1]:8443"),
        ("http, https", "evil.example, pacs.example", "", "", "192.0.2.1", "https://pacs.example"),
        ("https,http", "pacs.example,inner", "", "", "192.0.2.1, 10.0.0.2", "https://pacs.example"),
        ("x,https,http", "pacs.example", "", "", "8.8.8.8,1.1.1.1,10.0.0.2", "https://pacs.example"),
    ],
)  # fmt: skip
def test_x_forwarded_headers_count_as_many_proxies_as_are_trusted(
    proto: str, host: str, port: str, prefix: str, clients: str, url: str
) -> None:
    assert x_forwarded_url(proto, host, port, prefix, clients, PROXIES) == url


@pytest.mark.parametrize(
    "host",
    ["a b", "a/b", "a@b", "a:b", "[::1", "a\\b", 'a"b', "a:999999", "<x>", "é", "\r\nx: y", "[x]"],
)
def test_hosts_that_cannot_be_are_refused(host: str) -> None:
    with pytest.raises(InvalidInput):
        x_forwarded_url("http", host, "", "", "", PROXIES)
    for prefix in ("//evil.example/", "a", "/\\evil", "/a?b", "/a b"):
        with pytest.raises(InvalidInput):
            x_forwarded_url("http", "pacs.example", "", prefix, "", PROXIES)


@given(st.text(alphabet='forhstp=;," \\a.:[]1/', max_size=40) | st.text(max_size=40))
def test_any_header_gives_a_url_or_a_refusal(text: str) -> None:
    urls: list[str] = []
    with contextlib.suppress(InvalidInput):
        urls.append(forwarded_url(text, PROXIES))
    with contextlib.suppress(InvalidInput):
        urls.append(x_forwarded_url(text, text, text, text, text, PROXIES))
    for url in urls:
        assert re.fullmatch(r"|https?://[][a-z0-9._:-]+(/[A-Za-z0-9._~-]+)*", url)


def seen(addresses: Addresses, path: str, peer: str, **headers: str) -> tuple[str, str]:
    """Return the root and the path that the application sees."""

    def application(environ: Any, start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", [])
        return [json.dumps([root_of(environ), environ["PATH_INFO"]]).encode()]

    client = Client(PublicAddress(application, addresses))
    answer = client.get(path, headers=headers, environ_overrides={"REMOTE_ADDR": peer})
    if answer.status_code != 200:
        assert answer.headers["Content-Type"] == "application/problem+json"
        return str(answer.status_code), ""
    root, seen_path = json.loads(answer.data)
    return root, seen_path


@pytest.mark.req("REQ-HTTP-01")
def test_only_a_trusted_proxy_is_believed_and_nobodys_host_header() -> None:
    said = {"X-Forwarded-Host": "pacs.example", "X-Forwarded-Proto": "https"}
    listened = (f"{LISTENED}/dicom-web", "/x")
    trusting = Addresses(LISTENED, proxies=("127.0.0.1/32",))
    public = ("https://pacs.example/dicom-web", "/x")
    assert seen(trusting, "/x", "127.0.0.1", **said) == public
    assert seen(trusting, "/x", "::ffff:127.0.0.1", **said) == public
    assert seen(trusting, "/x", "127.0.0.2", **said) == listened
    assert seen(trusting, "/x", "", **said) == listened
    assert seen(trusting, "/x", "127.0.0.1", Host="elsewhere.example") == listened
    assert seen(Addresses(LISTENED), "/x", "127.0.0.1", **said) == listened
    configured = Addresses(LISTENED, "https://configured.example", proxies=("127.0.0.1/32",))
    assert seen(configured, "/x", "127.0.0.1", **said)[0] == "https://configured.example/dicom-web"


def test_a_proxy_that_contradicts_itself_is_refused() -> None:
    trusting = Addresses(LISTENED, proxies=("127.0.0.1/32",))
    agreed = {"X-Forwarded-Host": "a.example", "Forwarded": "host=a.example"}
    assert seen(trusting, "/x", "127.0.0.1", **agreed)[0] == "http://a.example/dicom-web"
    other = agreed | {"Forwarded": "host=evil.example"}
    assert seen(trusting, "/x", "127.0.0.1", **other)[0] == "400"
    assert seen(trusting, "/x", "127.0.0.2", **other)[0] == f"{LISTENED}/dicom-web"


def test_a_prefix_is_taken_away_if_the_proxy_has_not_done_so() -> None:
    prefixed = Addresses(LISTENED, "https://pacs.example/pacs")
    root = "https://pacs.example/pacs/dicom-web"
    for path, inner in (
        ("/pacs/dicom-web/studies", "/dicom-web/studies"),
        ("/dicom-web/studies", "/dicom-web/studies"),
        ("/pacs/", "/"),
        ("/pacs", "/"),
        ("/pacsx", "/pacsx"),
        ("/", "/"),
    ):
        assert seen(prefixed, path, "127.0.0.1") == (root, inner)
    trusting = Addresses(LISTENED, proxies=("127.0.0.1/32",))
    said = {"X-Forwarded-Host": "a.example", "X-Forwarded-Prefix": "/p"}
    for path in ("/p/x", "/x"):
        assert seen(trusting, path, "127.0.0.1", **said) == ("http://a.example/p/dicom-web", "/x")


@pytest.mark.req("REQ-HTTP-22")
def test_retrieval_may_have_a_root_of_its_own() -> None:
    for addresses in (
        Addresses(LISTENED, "https://pacs.example/pacs", "https://wado.example/rs"),
        Addresses(LISTENED, "", "https://wado.example/rs", ("127.0.0.1/32",)),
    ):
        root, _ = seen(addresses, "/x", "127.0.0.1", **{"X-Forwarded-Host": "stow.example"})
        assert root == "https://wado.example/rs"


# -- behind a real proxy


def uris(document: object) -> Iterator[str]:
    """Yield all that looks like a URL of http in a JSON document, but coding schemes."""
    match document:
        case dict():
            for value in document.values():
                yield from uris(value)
        case list():
            for value in document:
                yield from uris(value)
        case str() if document.startswith("http"):
            yield document


@contextmanager
def behind(
    slide: Path, folder: Path, locations: str, *options: str, prefix: str = ""
) -> Iterator[tuple[Server, str]]:
    """Serve a slide behind nginx; tells the server and the URL of nginx."""
    (folder / "nginx").mkdir()
    data, port, inner = folder / "data", free_port(), free_port()
    slidegate("add", slide, "--data", data)
    filled = [option.replace("PORT", str(port)) for option in options]
    with (
        serving(data, "--no-materialise", "--port", str(inner), *filled) as server,
        nginx(folder / "nginx", port, locations.replace("INNER", server.url)) as url,
    ):
        yield server, url + prefix


def assert_every_uri_leads_somewhere(root: str, wado: str) -> None:
    """Dereference, through the proxy, all URLs in answers of all kinds."""
    found = requests.get(f"{root}/instances?includefield=all", timeout=30).json()
    links = {uri for match in found for uri in uris(match) if "purl.org" not in uri}
    for level in ("studies", "series"):
        links |= {*uris(requests.get(f"{root}/{level}", timeout=30).json())}
    assert any("/bulkdata/" in link for link in links)
    (volume, *_) = (
        one["00081190"]["Value"][0] for one in found if "VOLUME" in one["00080008"]["Value"]
    )
    links |= {*uris(requests.get(f"{volume}/metadata", timeout=30).json())}
    frames = requests.get(f"{volume}/frames/1,2", timeout=30).content
    whole = requests.get(
        volume, headers={"Accept": "multipart/related; type=application/dicom"}, timeout=30
    )
    for body in (frames, whole.content):
        located = re.findall(rb"Content-Location: (\S+)", body)
        assert located
        links |= {one.decode() for one in located}
    for link in links:
        assert link.startswith(f"{wado}/"), link
        assert requests.get(link, timeout=30).status_code == 200, link


KEPT = "location /pacs/ { proxy_pass INNER; }"
README = Path(__file__).parents[2] / "README.md"
TOLD = """
    location /pacs/ {
      proxy_pass INNER/;
      proxy_set_header X-Forwarded-Proto $scheme;
      proxy_set_header X-Forwarded-Host $http_host;
      proxy_set_header X-Forwarded-Prefix /pacs;
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
      proxy_set_header Forwarded "";
    }
"""
PUBLIC = ("--public-url", "http://127.0.0.1:PORT/pacs")


def _of_readme() -> str:
    """Return the location that the README shows; it takes the prefix away."""
    (found,) = re.findall(r"```nginx\n(.*?)```", README.read_text("utf-8"), re.DOTALL)
    assert "/pathology/" in found and "http://127.0.0.1:8080/" in found
    return str(found).replace("/pathology/", "/pacs/").replace("http://127.0.0.1:8080", "INNER")


@pytest.mark.req("REQ-HTTP-01", "REQ-HTTP-02")
@pytest.mark.parametrize(
    ("locations", "options"),
    [(KEPT, PUBLIC), (_of_readme(), PUBLIC), (TOLD, ("--trusted-proxy", "127.0.0.1"))],
    ids=["kept", "as in the README", "told"],
)
def test_every_uri_leads_through_the_proxy_below_its_prefix(
    svs: tuple[Path, SvsTruth], tmp_path: Path, locations: str, options: tuple[str, ...]
) -> None:
    with behind(svs[0], tmp_path, locations, *options, prefix="/pacs") as (server, public):
        assert_every_uri_leads_somewhere(f"{public}/dicom-web", f"{public}/dicom-web")
        page = requests.get(f"{public}/", timeout=10).text
        for link in re.findall(r'(?:href|src)="(/[^"]*)"', page):
            assert link.startswith("/pacs/")
            assert requests.get(public.removesuffix("/pacs") + link, timeout=10).ok, link
        # Long lists pass both, and a name from elsewhere passes neither door nor proxy.
        volume = requests.get(f"{public}/dicom-web/instances", timeout=10).json()[0]["00081190"]
        listed = "%2C".join(["999999"] * 400)
        answer = requests.get(f"{volume['Value'][0]}/frames/{listed}", timeout=10)
        assert (answer.status_code, answer.json()["type"]) == (404, "urn:slidegate:frame-not-found")
        evil = {"Host": "evil.example", "X-Forwarded-Host": "127.0.0.1"}
        assert requests.get(f"{server.root}/studies", headers=evil, timeout=10).status_code == 403


@pytest.mark.req("REQ-HTTP-22")
def test_search_and_retrieval_may_lie_elsewhere_and_agents_do_not_matter(
    svs: tuple[Path, SvsTruth], tmp_path: Path
) -> None:
    locations = """
    location /qido/ { proxy_pass INNER/dicom-web/; proxy_set_header User-Agent "curl/1"; }
    location /wado/ { proxy_pass INNER/dicom-web/; proxy_set_header User-Agent ""; }
    """
    options = ("--wado-url", "http://127.0.0.1:PORT/wado")
    with behind(svs[0], tmp_path, locations, *options) as (_, url):
        assert_every_uri_leads_somewhere(f"{url}/qido", f"{url}/wado")
