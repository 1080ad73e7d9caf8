"""How commands ask the running gateway, on its operators' port: one question, one answer, and a sentence that
says what to do when there is none.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeVar

import aiohttp
import msgspec
from yarl import URL

from gateway.cli.console import fail
from gateway.cli.output import print_json
from gateway.settings.tree import Settings

_SECONDS: Final = 10.0
_EVERYWHERE: Final = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}  # noqa: S104 - where it listens, not we
"""Where a gateway that listens on all addresses is found from its own machine."""

_T = TypeVar("_T")


class _Unanswered(Exception):
    """There is no answer; the sentence says what to do."""


@dataclass(frozen=True, slots=True)
class Question:
    """One operation of the operators' API."""

    path: str
    """Percent-encoded where it has to be."""
    query: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    """JSON, to be sent by POST; None: it is a GET."""
    url: str = ""
    """Where the operators' port is, `https://gateway.example.com:9000`; empty: where the settings say."""


def ask(
    settings: Settings, question: Question, kind: type[_T], print_it: Callable[[_T], None], *, as_json: bool
) -> None:
    """Print the running gateway's answer: as it is, or to people. Ends the command with status 1 and a
    sentence when there is none."""
    address = question.url.rstrip("/") or f"http://{_address(settings)}"
    try:
        answer = asyncio.run(_ask(settings, question, address))
        if as_json:
            print_json(answer)
        else:
            print_it(msgspec.json.decode(answer, type=kind))
    except _Unanswered as error:
        fail([str(error)])
    except msgspec.DecodeError:
        fail([f"What answers at {_spoken(address)} is no gateway of this release."])


async def _ask(settings: Settings, question: Question, address: str) -> bytes:
    if settings.admin_token is None:
        raise _Unanswered(
            "GATEWAY_ADMIN_TOKEN is not set. Set it to that of the running gateway: it answers nobody else."
        )
    headers = {"authorization": f"Bearer {settings.admin_token.get_secret_value()}"}
    if question.body is not None:
        headers["content-type"] = "application/json"
    timeout = aiohttp.ClientTimeout(total=_SECONDS)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout, cookie_jar=aiohttp.DummyCookieJar()) as session,
            session.request(
                "GET" if question.body is None else "POST",
                URL(address + question.path, encoded=True).update_query(question.query),
                data=question.body,
                headers=headers,
                allow_redirects=False,
            ) as answer,
        ):
            body = await answer.read()
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise _Unanswered(_nobody(question, address)) from error
    if answer.status != 200:
        raise _Unanswered(_reason(answer.status, body, _spoken(address)))
    return body


def _nobody(question: Question, address: str) -> str:
    there = f"No gateway answers at {_spoken(address)}."
    if question.url:
        return f"{there} Say with --url where its operators' port is."
    return (
        f"{there} Start it with `gateway serve`, or set GATEWAY_ADMIN_LISTEN to where its operators' port is."
    )


def _reason(status: int, body: bytes, address: str) -> str:
    """What the gateway says about a question that it does not answer."""
    if status == 401:
        return f"The gateway at {address} has another GATEWAY_ADMIN_TOKEN than this command, or none."
    try:
        return str(msgspec.json.decode(body)["detail"])
    except (msgspec.DecodeError, TypeError, KeyError):
        return f"What answers at {address} is no gateway: status {status}."


def _address(settings: Settings) -> str:
    host, _, port = settings.admin_listen.rpartition(":")
    return f"{_EVERYWHERE.get(host, host)}:{port}"


def _spoken(address: str) -> str:
    return address.removeprefix("http://")
