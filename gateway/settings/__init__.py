"""Every setting: one frozen object. `loading` reads it, `fields` says what there is, `checks` how it must agree."""

from __future__ import annotations

from typing import Self

from pydantic import model_validator

from gateway.settings.checks import contradictions, is_loopback
from gateway.settings.fields import ArgumentRecord, Durability, Fields, SecondFactor

__all__ = ["ArgumentRecord", "Durability", "SecondFactor", "Settings", "is_loopback"]


class Settings(Fields):
    """How this door is run: settings that are good each by itself, and together."""

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        problems = list(contradictions(self))
        if problems:
            raise ValueError("\n".join(problems))
        return self
