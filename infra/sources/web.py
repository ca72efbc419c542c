"""Downloads over HTTPS."""

from __future__ import annotations

import ipaddress
import socket
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import httpx

from infra.errors import ServiceUnavailableError, SourceError, SourceOfflineError

if TYPE_CHECKING:
    from infra.settings import SourceSettings

_REDIRECTS = 5
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
    host = urlsplit(url).netloc
    with httpx.Client(timeout=settings.timeout_seconds) as client:
        for _ in range(_REDIRECTS):
            _check_address(url, settings)
            credentials = auth if urlsplit(url).netloc == host else None
            try:
                with client.stream("GET", url, auth=credentials) as response:
                    _check_peer(url, response, settings)
                    if response.next_request is None:
                        return _receive(url, response, folder, settings.limit_bytes)
                    url = str(response.next_request.url)
            except httpx.ConnectError as error:
                raise SourceOfflineError(url, str(error)) from error
            except httpx.HTTPError as error:
                raise ServiceUnavailableError(url, str(error) or type(error).__name__) from error
    raise SourceError(url, f"it redirects more than {_REDIRECTS} times")


def _check_address(url: str, settings: SourceSettings) -> None:
    parts = urlsplit(url)
    if settings.private_hosts:
        return
    if parts.scheme != "https":
        raise SourceError(url, "only https is fetched")
    try:
        found = socket.getaddrinfo(parts.hostname, parts.port or 443, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise SourceOfflineError(url, str(error)) from error
    for *_, address in found:
        _refuse_private(url, str(address[0]))


def _check_peer(url: str, response: httpx.Response, settings: SourceSettings) -> None:
    """Look at who answered: a name may have changed its address since it was looked up."""
    stream = response.extensions.get("network_stream")
    peer = stream.get_extra_info("server_addr") if stream is not None else None
    if peer and not settings.private_hosts:
        _refuse_private(url, str(peer[0]))


def _refuse_private(url: str, address: str) -> None:
    if not ipaddress.ip_address(address.partition("%")[0]).is_global:
        raise SourceError(
            url,
            f"{address} is an address inside the network; where that is meant, set "
            "MILLRACE_SOURCES__PRIVATE_HOSTS=true",
        )


def _receive(url: str, response: httpx.Response, folder: Path, limit: int) -> Path:
    if response.status_code in {401, 403}:
        raise SourceError(url, f"access is denied ({response.status_code}); check the credentials")
    if response.status_code == httpx.codes.NOT_FOUND:
        raise SourceError(url, "there is nothing (404); check the address")
    if response.is_server_error or response.status_code == httpx.codes.TOO_MANY_REQUESTS:
        raise ServiceUnavailableError(url, f"status {response.status_code}")
    if response.is_error:
        raise SourceError(url, f"status {response.status_code}")
    target = folder / _name(url, response)
    size = 0
    with target.open("wb") as file:
        for chunk in response.iter_bytes(2**20):
            size += len(chunk)
            if size > limit:
                raise SourceError(url, f"it is larger than {limit:,} bytes")
            file.write(chunk)
    expected = response.headers.get("content-length")
    if expected and "content-encoding" not in response.headers and size != int(expected):
        raise ServiceUnavailableError(url, f"{size} of {expected} bytes came")
    return target


def _name(url: str, response: httpx.Response) -> str:
    """Name the file by its address, and its format by its type where the address has none."""
    name = Path(unquote(urlsplit(url).path)).name or "download"
    if not Path(name).suffix:
        kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        name += _FORMATS.get(kind, "")
    return name
