"""The first screen: a key, made once, and what to paste. For people who have just cloned the project."""

import secrets
import sys
from contextlib import suppress
from typing import Final

from pydantic import SecretStr
from rich.markup import escape

from gateway.app.desks import key_desk
from gateway.auth.interfaces import NameTaken
from gateway.auth.keys.checks import NewKey
from gateway.cli.actor import at_the_keyboard
from gateway.cli.console import out
from gateway.settings.sections import OPENAI
from gateway.settings.tree import Settings

_TOKEN_BYTES: Final = 24
_KEY_NAME: Final = "first-run"
_PREFERRED_TEAM: Final = "search"

_PASTE: Final = """
Paste this into a shell:

export OPENAI_BASE_URL={url}
export OPENAI_API_KEY={key}

curl $OPENAI_BASE_URL/chat/completions \\
  -H "Authorization: Bearer $OPENAI_API_KEY" -H "Content-Type: application/json" \\
  -d '{{"model": "gpt-4o-mini", "messages": [{{"role": "user", "content": "Say hello"}}]}}'

Or, with the official Python SDK (pip install openai):

from openai import OpenAI
for event in OpenAI().chat.completions.create(
    model="gpt-4o-mini", stream=True, messages=[{{"role": "user", "content": "Say hello"}}]
):
    print(event.choices[0].delta.content or "", end="")
"""


def takes_the_simulator(settings: Settings) -> bool:
    """Whether no upstream was given: neither a key for OpenAI nor another address."""
    return settings.upstream.base_url == OPENAI and settings.upstream.api_key is None


def with_admin_token(settings: Settings) -> Settings:
    """The settings, with an operators' token for this run when none was given: the console wants one."""
    if settings.admin_token is not None:
        return settings
    return settings.model_copy(update={"admin_token": SecretStr(secrets.token_urlsafe(_TOKEN_BYTES))})


async def greet(
    settings: Settings,
    address: str,
    admin_address: str,
    *,
    simulated: bool,
    made_token: SecretStr | None = None,
) -> None:
    """Print the first screen; what it shows of the key is shown this once. `made_token`: the operators'
    token, when it was made for this run."""
    upstream = "the simulator (no account, no money)" if simulated else settings.upstream.base_url
    out.print(f"\n[bold]The gateway listens on http://{escape(address)}[/], before {escape(upstream)}.")
    url = f"http://{address}/v1"
    team, key = await _first_key(settings)
    if key is None:
        out.print("The first key was shown when it was made; this makes another one:\n", highlight=False)
        sys.stdout.write(
            f"export OPENAI_BASE_URL={url}\n.venv/bin/gateway keys create --team {team} --name another\n"
        )
    else:
        sys.stdout.write(_PASTE.format(url=url, key=key))
    out.print(
        "\nUsage:   [bold].venv/bin/gateway usage[/]   (or --by day, --format csv)"
        f"\nConsole: http://{escape(admin_address)}/console   ({escape(_how_to_sign_in(made_token))})"
        f"\nMetrics: http://{escape(admin_address)}/metrics"
        f"\nRules:   {escape(str(settings.policies_dir))}/ (edit and save: they are reloaded)"
        "\nCtrl-C stops it.\n"
    )
    sys.stdout.flush()


def _how_to_sign_in(made_token: SecretStr | None) -> str:
    if made_token is None:
        return "sign in with GATEWAY_ADMIN_TOKEN"
    return f"for this run, sign in with {made_token.get_secret_value()}"


async def _first_key(settings: Settings) -> tuple[str, str | None]:
    """The example team, and a key for it; None when that was made on an earlier run."""
    async with key_desk(settings) as desk:
        team = _PREFERRED_TEAM if _PREFERRED_TEAM in desk.teams else min(desk.teams)
        with suppress(NameTaken):
            _, secret = await desk.create(NewKey(team=team, name=_KEY_NAME), at_the_keyboard())
            return team, secret
    return team, None
