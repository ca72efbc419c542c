"""Ports of 127.0.0.1: which are free and who holds the others."""

from __future__ import annotations

import errno
import random
import socket

import psutil

from infra.errors import StackError

LOOPBACK = "127.0.0.1"
_TRIES = 200


def is_free(port: int) -> bool:
    """Whether a server could listen on the port now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError as error:
            if error.errno in {errno.EADDRINUSE, errno.EACCES}:
                return False
            raise
    return True


def find_free(first: int, last: int) -> int:
    """Return a free port of the range, a random one so that two searches seldom collide."""
    for _ in range(_TRIES):
        port = random.randint(first, last)  # noqa: S311 - not a secret
        if is_free(port):
            return port
    raise StackError(
        f"no port between {first} and {last} is free",
        "stop what holds them, or set MILLRACE_SERVING__FIRST_PORT and __LAST_PORT",
    )


def holder(port: int) -> str:
    """Name the process that listens on the port, as far as the system tells."""
    for process in psutil.process_iter(["pid", "cmdline"]):
        try:
            listening = process.net_connections(kind="tcp")
        except psutil.Error:
            continue
        if any(
            each.status == psutil.CONN_LISTEN and each.laddr and each.laddr.port == port
            for each in listening
        ):
            command = " ".join(process.info["cmdline"] or [])[:120]
            return f"process {process.info['pid']} ({command})"
    return "a process of another user"
