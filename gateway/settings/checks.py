"""What a value must be like. Each raises ValueError with a sentence that does not hold the value."""

import base64
from typing import Any, Final
from urllib.parse import urlsplit

from pydantic import SecretStr

SHORTEST_SECRET: Final = 16
_IN_BASE64: Final = "whsec_"
"""How a secret begins that is spelled as Standard Webhooks does."""


def listed(value: Any) -> Any:
    """A variable's text, of names that are separated by commas; in YAML it is a list."""
    return [name.strip() for name in value.split(",") if name.strip()] if isinstance(value, str) else value


def checked_url(value: str, *schemes: str) -> str:
    """Nothing but scheme, host, port and path: what else could stand there may be a secret."""
    try:
        parts = urlsplit(value)
        whole = parts.scheme in schemes and parts.hostname and parts.port != 0 and is_plain(value)
    except ValueError:
        whole = False
    if not whole:
        raise ValueError("must be a URL: " + " or ".join(f"{scheme}://host" for scheme in schemes))
    if "@" in value or "?" in value or "#" in value:
        raise ValueError("must be a URL without user name, query and fragment")
    return value


def is_plain(value: str) -> bool:
    """Whether it is printable ASCII without spaces."""
    return value.isascii() and value.isprintable() and " " not in value


def checked_token(value: SecretStr | None) -> SecretStr | None:
    """What is to stand in a header. An empty one is none: nobody is let in by saying nothing."""
    if not value:
        return None
    if not is_plain(value.get_secret_value()):
        raise ValueError("must be of printable ASCII characters without spaces")
    return value


def long_enough(value: SecretStr | None) -> SecretStr | None:
    """None, and an empty one, are nothing that could be guessed."""
    if value and len(value) < SHORTEST_SECRET:
        raise ValueError(f"must have at least {SHORTEST_SECRET} characters")
    return value


def signing_key_of(secret: SecretStr) -> bytes:
    """Of `whsec_…` what its base64 stands for, of any other text the text. Raises ValueError."""
    text = secret.get_secret_value()
    if text.startswith(_IN_BASE64):
        return base64.b64decode(text.removeprefix(_IN_BASE64), validate=True)
    return text.encode()
