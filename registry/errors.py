"""The errors of this package.

RegistryError
├── UnknownServer        no such slug
├── WrongState           the step is not allowed from the server's present state
├── NotApprovable        approval refused: digests moved, same person, findings not accepted
├── NameRefused          a slug or name is not legal, or is the twin of another
├── DefinitionRefused    a definition was screened out
├── DescriptionRefused   an OpenAPI description, or what was chosen of it, cannot be used
├── AddressRefused       an address may not be connected to
├── SecretRefused        a sealed secret does not open
├── DatabaseBehind       the schema is not the one this version needs
└── DatabaseReplaced     its file is another one now, or gone
"""

from __future__ import annotations


class RegistryError(Exception):
    """The root. Its text is fit to be shown to an administrator: what is wrong and what to do."""


class UnknownServer(RegistryError):
    pass


class WrongState(RegistryError):
    pass


class NotApprovable(RegistryError):
    pass


class NameRefused(RegistryError):
    pass


class DefinitionRefused(RegistryError):
    pass


class DescriptionRefused(RegistryError):
    pass


class AddressRefused(RegistryError):
    """`rule` is the machine word of the rule that refused, `remedy` the line that would allow it (or empty).

    `why` is the sentence without the advice, for where something else than a server was to be reached.
    """

    def __init__(self, message: str, *, rule: str, remedy: str = "", why: str = "") -> None:
        super().__init__(message)
        self.rule = rule
        self.remedy = remedy
        self.why = why or message


class SecretRefused(RegistryError):
    pass


class DatabaseBehind(RegistryError):
    pass


class DatabaseReplaced(RegistryError):
    def __init__(self) -> None:
        super().__init__("the file of the database was replaced or removed while it was open: restart")
