"""The headers that OpenAI and its edge put on every answer; a gateway has to replace or drop most of them."""

from gateway.simulator.log import SeenRequest

_COOKIE = "__cf_bm=simulated; path=/; HttpOnly"
_OPENAI_COOKIE = f"{_COOKIE}; Secure; SameSite=None; domain=.api.openai.com"


def openai_headers(seen: SeenRequest, *, processing_ms: int, sticky_cookie: bool) -> dict[str, str]:
    return {
        "x-request-id": seen.request_id,
        "openai-organization": "simulated-org",
        "openai-project": "proj_simulated",
        "openai-processing-ms": str(processing_ms),
        "openai-version": "2020-10-01",
        # The limits of the account behind the shared key, the times as Go writes durations.
        "x-ratelimit-limit-requests": "10000",
        "x-ratelimit-remaining-requests": "9999",
        "x-ratelimit-reset-requests": "6ms",
        "x-ratelimit-limit-tokens": "2000000",
        "x-ratelimit-remaining-tokens": "1999000",
        "x-ratelimit-reset-tokens": "1m12.5s",
        "server": "cloudflare",
        "cf-ray": f"{seen.request_id[-16:]}-SIM",
        "set-cookie": _COOKIE if sticky_cookie else _OPENAI_COOKIE,
    }
