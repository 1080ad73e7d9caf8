"""`gateway explain`: why a request ended as it did, or what would become of one. The running gateway tells,
on its operators' port.
"""

from enum import StrEnum
from typing import Annotated, Final
from urllib.parse import quote

import msgspec
import typer

from gateway.cli.asking import Question, ask
from gateway.cli.console import fail, settings_or_exit
from gateway.cli.explain_table import print_explanation
from gateway.cli.keys_options import key_id_alone
from gateway.explaining.explanation import Explanation

_NO_DRY_RUN: Final = "say which request: `gateway explain req_…`; or make one with --dry-run."
_BOTH: Final = "a dry run is of a request that there is not yet: leave the id out."
_NOBODY: Final = "say who asks: --key, or --team and perhaps --user."
_WHOSE: Final = "a key says whose it is: leave --team and --user out."


class Method(StrEnum):
    """Of a dry run."""

    GET = "GET"
    POST = "POST"


def explain(
    request_id: Annotated[
        str, typer.Argument(help="What the answer's header x-request-id says.", show_default=False)
    ] = "",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Judge a request that is not sent: nothing changes by it.")
    ] = False,
    key: Annotated[
        str,
        typer.Option(callback=key_id_alone, help="Of a dry run: the id of the key that it comes with."),
    ] = "",
    team: Annotated[str, typer.Option(help="Of a dry run without a key: the team that asks.")] = "",
    user: Annotated[str, typer.Option(help="Of a dry run without a key: the user that asks.")] = "",
    method: Annotated[Method, typer.Option(case_sensitive=False, help="Of a dry run.")] = Method.POST,
    path: Annotated[
        str, typer.Option(help="Of a dry run: the path, such as /v1/chat/completions.")
    ] = "/v1/chat/completions",
    body: Annotated[
        typer.FileBinaryRead | None,
        typer.Option(metavar="FILE", help="Of a dry run: a file with the JSON; - for standard input."),
    ] = None,
    url: Annotated[
        str, typer.Option(help="Where the operators' port is. Default: where the settings say.")
    ] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print the gateway's answer as it is.")] = False,
) -> None:
    """Say what was decided about a request, by which rule of which file. Asks the running gateway."""
    if dry_run:
        if request_id:
            raise typer.BadParameter(_BOTH)
        if bool(key) == bool(team or user) or (user and not team):
            raise typer.BadParameter(_WHOSE if key else _NOBODY)
        content = None if body is None else body.read()
        question = _rehearsal(url, content, key_id=key, team=team, user=user, method=method, path=path)
    elif request_id:
        question = Question(f"/admin/explain/{quote(request_id, safe='')}", url=url)
    else:
        raise typer.BadParameter(_NO_DRY_RUN)
    ask(settings_or_exit(), question, Explanation, print_explanation, as_json=as_json)


def _rehearsal(url: str, content: bytes | None, **given: str) -> Question:
    """The file's JSON as it is, within the question."""
    asked: dict[str, str | msgspec.Raw] = {name: value for name, value in given.items() if value}
    if content is not None:
        try:
            msgspec.json.decode(content)
        except msgspec.DecodeError as error:
            fail([f"The body is no JSON: {error}."])
        asked["body"] = msgspec.Raw(content)
    return Question("/admin/explain", body=msgspec.json.encode(asked), url=url)
