"""/scim/v2/ServiceProviderConfig, /ResourceTypes, /Schemas (RFC 7644 section 4)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from scim2_models import (
    Context,
    ForbiddenException,
    ListResponse,
    Meta,
    NotFoundException,
    NotImplementedException,
    ResourceType,
    Schema,
    SCIMException,
)

from gateway.pages.session import world_of
from gateway.scim.desk import answer, scim
from gateway.scim.words import ENDPOINTS, PATH, service

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from authz.tables import Provider


_HERE: Final = frozenset({"ServiceProviderConfig", "ResourceTypes", "Schemas", *ENDPOINTS})


class NotAllowed(SCIMException):
    status = 405
    _default_detail = "This is not changed in this way"


@scim
def show_config(request: Request, _provider: Provider) -> Response:
    """GET /ServiceProviderConfig"""
    config = service().config
    assert config is not None
    return answer(_said(request, config, "ServiceProviderConfig"))


@scim
def list_types(request: Request, _provider: Provider) -> Response:
    """GET /ResourceTypes"""
    return _listed(request, ResourceType, service().resource_types, "ResourceTypes")


@scim
def show_type(request: Request, _provider: Provider) -> Response:
    """GET /ResourceTypes/{name}"""
    return _chosen(request, service().resource_types, "ResourceTypes")


@scim
def list_schemas(request: Request, _provider: Provider) -> Response:
    """GET /Schemas"""
    return _listed(request, Schema, service().schemas, "Schemas")


@scim
def show_schema(request: Request, _provider: Provider) -> Response:
    """GET /Schemas/{urn}"""
    return _chosen(request, service().schemas, "Schemas")


@scim
def nothing(request: Request, _provider: Provider) -> Response:
    """Whatever we do not have: /Bulk, /Me, and a search of all kinds at once, which is for the few who sort mixed."""
    if request.path_params["rest"] in {"Bulk", "Me", ".search"}:
        raise NotImplementedException
    if request.path_params["rest"].partition("/")[0] in _HERE:
        raise NotAllowed
    raise NotFoundException(detail=f"there is nothing like that at {request.scope['path'][:200]}")


def _listed(request: Request, model: Any, found: Any, endpoint: str) -> Response:
    if "filter" in request.query_params:  # RFC 7644 section 4: these are not searched
        raise ForbiddenException
    resources = [_located(request, resource, f"{endpoint}/{resource.id}") for resource in found]
    listed = ListResponse[model](
        total_results=len(resources), start_index=1, items_per_page=len(resources), resources=resources
    )
    return answer(listed.model_dump(scim_ctx=Context.RESOURCE_QUERY_RESPONSE))


def _chosen(request: Request, found: Any, endpoint: str) -> Response:
    wanted = request.path_params["id"]
    for resource in found:
        if str(resource.id).casefold() == wanted.casefold():
            return answer(_said(request, resource, f"{endpoint}/{resource.id}"))
    raise NotFoundException(detail=f"there is no {wanted[:200]}")


def _said(request: Request, resource: Any, path: str) -> Any:
    return _located(request, resource, path).model_dump(scim_ctx=Context.RESOURCE_QUERY_RESPONSE)


def _located(request: Request, resource: Any, path: str) -> Any:
    meta = Meta(resource_type=type(resource).__name__, location=f"{world_of(request).settings.base_url}{PATH}/{path}")
    return resource.model_copy(update={"meta": meta})
