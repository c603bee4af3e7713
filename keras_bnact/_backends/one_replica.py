"""What replicas are where there are none: a program is one, on however many devices."""

from typing import Any


def replicas(model: Any) -> int:
    return 1


def replicas_agree(model: Any) -> bool:
    return True


def sum_over_replicas(x: Any) -> Any:
    return x
