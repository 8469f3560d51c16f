"""The addresses of the pages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.routing import Route

from gateway.pages import reviewing
from gateway.pages.assets import serve_asset
from gateway.pages.connecting import routes as connecting
from gateway.pages.person import account, delegations, home, sessions, tokens
from gateway.pages.signing_in import external, leaving, second_factor, signin

if TYPE_CHECKING:
    from starlette.routing import BaseRoute


def routes() -> list[BaseRoute]:
    """Pages for everybody and for each person."""
    return [
        Route("/", home.show),
        Route("/assets/{name}", serve_asset),
        Route("/signin", signin.show),
        Route("/signin", signin.submit, methods=["POST"]),
        Route("/signout", leaving.sign_out, methods=["POST"]),
        Route("/signin/{slug}", external.begin),
        Route("/signin/{slug}", external.submit, methods=["POST"]),
        Route("/signin/{slug}/callback", external.come_back),
        Route("/signin/{slug}/callback", external.posted_back, methods=["POST"]),
        Route("/signin/{slug}/finish", external.finish),
        Route("/signin/{slug}/logout", leaving.hear, methods=["GET", "POST"]),
        Route("/signin/{slug}/metadata", leaving.publish),
        Route("/signin-code", second_factor.answer, methods=["POST"]),
        Route("/account", account.show),
        Route("/account/second-factor", second_factor.show),
        Route("/account/second-factor", second_factor.change, methods=["POST"]),
        Route("/account/password", account.show_password),
        Route("/account/password", account.change_password, methods=["POST"]),
        Route("/account/sessions", sessions.show),
        Route("/account/sessions/end", sessions.end, methods=["POST"]),
        Route("/account/sessions/end-all", sessions.end_all, methods=["POST"]),
        Route("/account/tokens", tokens.show),
        Route("/account/tokens", tokens.create, methods=["POST"]),
        Route("/account/tokens/end", tokens.end, methods=["POST"]),
        Route("/account/delegations", delegations.show),
        Route("/account/delegations", delegations.give, methods=["POST"]),
        Route("/account/delegations/end", delegations.end, methods=["POST"]),
        Route("/account/clients/revoke", home.revoke, methods=["POST"]),
        Route("/setup/{token}", account.show_setup),
        Route("/setup/{token}", account.submit_setup, methods=["POST"]),
        *connecting.routes(),
    ]


def admin_routes() -> list[BaseRoute]:
    """What moves to the admin's own listener, if there is one."""
    return [
        Route("/admin/servers", reviewing.show_servers),
        Route("/admin/servers/{slug}", reviewing.show_server),
        Route("/admin/servers/{slug}/approve", reviewing.approve, methods=["POST"]),
        Route("/admin/servers/{slug}/suspend", reviewing.suspend, methods=["POST"]),
        Route("/admin/servers/{slug}/resume", reviewing.resume, methods=["POST"]),
        *connecting.admin_routes(),
    ]
