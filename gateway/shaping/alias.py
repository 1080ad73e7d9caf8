"""Alias: the request goes upstream under the name by which the upstream knows the model that was judged.

That holds for a request without a model too: it was judged as the endpoint's default, and says so upstream,
so that a default that changes there cannot change what is used and paid for.
"""

from gateway.core.call import Call
from gateway.core.policy import Model


def alias(call: Call, model: Model) -> str | None:
    """The name to send; None when the client's own is the right one."""
    return None if call.get("model") == model.upstream_model else model.upstream_model
