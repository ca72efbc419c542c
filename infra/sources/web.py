"""Downloads over HTTPS."""

from __future__ import annotations

import ipaddress
import socket
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies

import httpx

from infra.errors import ServiceUnavailableError, SourceError, SourceOfflineError
from infra.sources import safe_name, shown

if TYPE_CHECKING:
    from infra.settings import SourceSettings

_REDIRECTS = 5
_AS_IT_IS = {"Accept-Encoding": "identity"}
"""A file that is packed stays so: its name says so too."""

_FORMATS = {
    "text/csv": ".csv",
    "text/tab-separated-values": ".tsv",
    "application/zip": ".zip",
    "application/gzip": ".gz",
    "application/vnd.apache.parquet": ".parquet",
    "application/x-ndjson": ".jsonl",
}


def download(
    url: str, folder: Path, settings: SourceSettings, auth: tuple[str, str] | None = None
) -> Path:
    """Download `url` into `folder`; redirects are followed and looked at like the first address.

    `auth` is sent to the first host only.

    Raises
    ------
    SourceError
        If the address may not be asked, is not there, refuses, or sends too much.
    SourceOfflineError, ServiceUnavailableError
        If nobody answers, or not now.
    """
    try:
        host = urlsplit(url).netloc
        with httpx.Client(timeout=settings.timeout_seconds, headers=_AS_IT_IS) as client:
            for _ in range(_REDIRECTS + 1):
                _check_address(url, settings)
                credentials = auth if urlsplit(url).netloc == host else None
                with client.stream("GET", url, auth=credentials) as response:
                    _check_peer(url, response, settings)
                    if response.next_request is None:
                        return _receive(url, response, folder, settings.limit_bytes)
                    url = str(response.next_request.url)
    except (httpx.UnsupportedProtocol, httpx.InvalidURL, ValueError) as error:
        raise SourceError(shown(url), f"it is no address to fetch from ({error})") from error
    except (httpx.ConnectError, httpx.ConnectTimeout) as error:
        raise SourceOfflineError(shown(url), str(error)) from error
    except httpx.HTTPError as error:
        reason = str(error) or type(error).__name__
        raise ServiceUnavailableError(shown(url), reason) from error
    raise SourceError(shown(url), f"it redirects more than {_REDIRECTS} times")


def _check_address(url: str, settings: SourceSettings) -> None:
    parts = urlsplit(url)
    if settings.private_hosts:
        return
    if parts.scheme != "https":
        raise SourceError(shown(url), "only https is fetched")
    try:
        found = socket.getaddrinfo(parts.hostname, parts.port or 443, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise SourceOfflineError(shown(url), str(error)) from error
    for *_, address in found:
        _refuse_private(url, str(address[0]))


def _check_peer(url: str, response: httpx.Response, settings: SourceSettings) -> None:
    """Look at who answered: a name may have changed its address since it was looked up."""
    stream = response.extensions.get("network_stream")
    peer = stream.get_extra_info("server_addr") if stream is not None else None
    if peer and not settings.private_hosts and not getproxies():  # whose own address it would be
        _refuse_private(url, str(peer[0]))


_TRANSLATED = (ipaddress.ip_network("64:ff9b::/96"), ipaddress.ip_network("2002::/16"))
"""Addresses that stand for others, which may be inside."""


def _refuse_private(url: str, address: str) -> None:
    found = ipaddress.ip_address(address.partition("%")[0])
    if not found.is_global or found.is_multicast or any(found in each for each in _TRANSLATED):
        raise SourceError(
            shown(url),
            f"{address} is an address inside the network; where that is meant, set "
            "MILLRACE_SOURCES__PRIVATE_HOSTS=true",
        )


def _receive(url: str, response: httpx.Response, folder: Path, limit: int) -> Path:
    name, url = _name(url, response), shown(url)
    if response.status_code in {401, 403}:
        raise SourceError(url, f"access is denied ({response.status_code}); check the credentials")
    if response.status_code == httpx.codes.NOT_FOUND:
        raise SourceError(url, "there is nothing (404); check the address")
    if response.is_server_error or response.status_code == httpx.codes.TOO_MANY_REQUESTS:
        raise ServiceUnavailableError(url, f"status {response.status_code}")
    if response.status_code != httpx.codes.OK:
        raise SourceError(url, f"status {response.status_code}")
    packing = response.headers.get("content-encoding", "identity").lower()
    if packing not in {"identity", "gzip"}:
        raise SourceError(url, f"it comes packed by {packing}, which was not asked for")
    packed = packing == "gzip" and not name.endswith(".gz")
    target = folder / safe_name(f"{name}.gz" if packed else name)
    size = 0
    with target.open("wb") as file:
        for chunk in response.iter_raw(2**20):
            size += len(chunk)
            if size > limit:
                raise SourceError(url, f"it is larger than {limit:,} bytes")
            file.write(chunk)
    expected = response.headers.get("content-length")
    if expected and size != int(expected):
        raise ServiceUnavailableError(url, f"{size} of {expected} bytes came")
    return target


def _name(url: str, response: httpx.Response) -> str:
    """Name the file by its address, and its format by its type where the address has none."""
    name = Path(unquote(urlsplit(url).path)).name or "download"
    if not Path(name).suffix:
        kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        name += _FORMATS.get(kind, "")
    return name
