"""How the layers of a model are connected, from Keras' own configuration of it."""

from collections.abc import Iterator
from typing import Any


def taken(part: Any) -> Iterator[str]:
    """The layers whose outputs a layer takes, from its `inbound_nodes`."""
    if isinstance(part, dict) and "keras_history" in part:
        yield part["keras_history"][0]
    elif isinstance(part, dict | list | tuple):
        for inner in part.values() if isinstance(part, dict) else part:
            yield from taken(inner)
