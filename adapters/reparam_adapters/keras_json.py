"""Telling the values of a parsed config apart, for people and for type checkers."""

from __future__ import annotations

from typing import Any, TypeGuard

Json = dict[str, Any]


def is_list(value: object) -> TypeGuard[list[Any]]:
    """Whether a value is a JSON array."""
    return type(value) is list


def is_object(value: object) -> TypeGuard[Json]:
    """Whether a value is a JSON object."""
    return type(value) is dict
