"""What to do about a server that is in trouble. Where it does not know us, that depends on how it should."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway.upstream.troubles import MEANINGS, Trouble
from registry.tables import Auth

if TYPE_CHECKING:
    from collections.abc import Mapping

_READING: Final = (
    "an administrator connects an account that we read it with on the page /connect/{slug}/shared; people's own are "
    "not used for it"
)
_OUR_APP: Final = (
    "see in `ostiary server show {slug}` how it is asked for; `ostiary server credential {slug} --client-secret-file "
    "FILE` stores a new secret of our app there, `ostiary server auth --help` has the rest"
)
_VOUCHED: Final = (
    "see that it trusts what `ostiary server show {slug}` prints (issuer, keys, audience), and that its clock is right"
)
_NO_CREDENTIAL: Final[Mapping[str, str]] = {
    Auth.NONE: "say how it should know us: `ostiary server auth {slug} MODE`, and `ostiary server auth --help`",
    Auth.STATIC: "`ostiary server credential {slug}` stores another header line",
    Auth.OAUTH_PERSON: _READING,
    Auth.OAUTH_SHARED: "an administrator connects it again on the page /connect/{slug}/shared",
    Auth.CLIENT_CREDENTIALS: _OUR_APP,
    Auth.TOKEN_EXCHANGE: _OUR_APP,
    Auth.ID_JAG: _OUR_APP,
    Auth.ON_BEHALF_OF: "`ostiary idp test` walks the sign-in that it is had with, then see its scopes",
    Auth.MINTED: _VOUCHED,
    Auth.AWS: "`ostiary server credential {slug} --aws-secret-file FILE` stores another key",
}
_NOT_CONNECTED: Final[Mapping[str, str]] = {
    Auth.STATIC: (
        "give a line that we read it with: `ostiary server credential {slug} --header-file FILE`; people's own are not "
        "used for it"
    ),
    Auth.OAUTH_PERSON: _READING,
    Auth.OAUTH_SHARED: "an administrator connects it on the page /connect/{slug}/shared",
    Auth.TOKEN_EXCHANGE: _OUR_APP,
    Auth.ID_JAG: _OUR_APP,
    Auth.ON_BEHALF_OF: "give our app there an application permission of its own, so that we can read what it offers",
}
_BY_MODE: Final = {Trouble.CREDENTIAL: _NO_CREDENTIAL, Trouble.NOT_CONNECTED: _NOT_CONNECTED}


def remedy(trouble: str, slug: str, auth: str = "") -> str:
    """For a server that was last seen in `trouble`; nothing where there is none, or an unknown one."""
    if trouble not in MEANINGS:
        return ""
    word = Trouble(trouble)
    return _BY_MODE.get(word, {}).get(auth, MEANINGS[word].remedy).format(slug=slug)
