"""/scim/v2/Users and /scim/v2/Groups (RFC 7644 section 3)."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from scim2_models import Context, InvalidFilterException, ListResponse, PatchOp, ResponseParameters, SearchRequest

from authz.people.provisioning import GROUP, USER
from authz.tables import Person
from gateway.pages.gate import address_of
from gateway.pages.session import world_of
from gateway.scim.desk import answer, body_of, scim
from gateway.scim.shelf import MODELS, Shelf, version
from gateway.scim.words import PAGE
from registry.database import Concern

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scim2_models import Resource
    from starlette.requests import Request
    from starlette.responses import Response

    from authz.tables import Provider, ScimResource


LONGEST: Final = 8192  # characters of a filter or a path
FURTHEST: Final = 10**9  # where a page can begin: nobody has so many people, and a database can count so far


@scim
def collect(request: Request, provider: Provider) -> Response:
    """GET /Users, /Groups"""
    asked = SearchRequest[_model(request)].model_validate(  # type: ignore[misc]
        _query(request), scim_ctx=Context.SEARCH_REQUEST
    )
    return _found(request, provider, asked)


@scim
def search(request: Request, provider: Provider) -> Response:
    """POST /Users/.search, /Groups/.search (section 3.4.3)"""
    asked = SearchRequest[_model(request)].model_validate(  # type: ignore[misc]
        _bounded(body_of(request), "filter"), scim_ctx=Context.SEARCH_REQUEST
    )
    return _found(request, provider, asked)


@scim
def create(request: Request, provider: Provider) -> Response:
    """POST /Users, /Groups (section 3.3)"""
    said = _model(request).model_validate(body_of(request), scim_ctx=Context.RESOURCE_CREATION_REQUEST)
    shown = _parameters(request)
    with _changing(request, provider, "created") as (shelf, facts):
        row = shelf.add(said)
        resource = shelf.read(row)
        facts.update(_facts(shelf, row))
    return _one(resource, row, Context.RESOURCE_CREATION_RESPONSE, shown, status=201)


@scim
def show(request: Request, provider: Provider) -> Response:
    """GET /Users/{id}, /Groups/{id} (section 3.4.1)"""
    shown = _parameters(request)
    with world_of(request).office.database.read() as session:
        shelf = Shelf(session, provider, _kind(request), world_of(request).settings.base_url, time.time())
        row = shelf.find(request.path_params["id"])
        resource = shelf.read(row)
    if request.headers.get("if-none-match") == version(row):
        return answer(None, 304, etag=version(row))
    return _one(resource, row, Context.RESOURCE_QUERY_RESPONSE, shown)


@scim
def replace(request: Request, provider: Provider) -> Response:
    """PUT /Users/{id}, /Groups/{id} (section 3.5.1)"""
    said = _model(request).model_validate(body_of(request), scim_ctx=Context.RESOURCE_REPLACEMENT_REQUEST)
    shown = _parameters(request)
    with _changing(request, provider, "changed") as (shelf, facts):
        row = shelf.take(request.path_params["id"], request.headers.get("if-match", ""))
        said.replace(shelf.read(row))
        shelf.write(row, said)
        resource = shelf.read(row)
        facts.update(_facts(shelf, row))
    return _one(resource, row, Context.RESOURCE_REPLACEMENT_RESPONSE, shown)


@scim
def patch(request: Request, provider: Provider) -> Response:
    """PATCH /Users/{id}, /Groups/{id} (section 3.5.2)"""
    wanted = PatchOp[_model(request)].model_validate(  # type: ignore[misc]
        _spread(body_of(request)), scim_ctx=Context.RESOURCE_PATCH_REQUEST
    )
    shown = _parameters(request)
    with _changing(request, provider, "changed") as (shelf, facts):
        row = shelf.take(request.path_params["id"], request.headers.get("if-match", ""))
        resource = shelf.read(row)
        if wanted.patch(resource):
            shelf.write(row, resource)
        resource = shelf.read(row)
        facts.update(_facts(shelf, row))
    return _one(resource, row, Context.RESOURCE_PATCH_RESPONSE, shown)


def _spread(said: dict[str, Any]) -> dict[str, Any]:
    """Entra writes paths with filters as names of members; each becomes an operation with that path."""
    operations = said.get("Operations")
    if not isinstance(operations, list):
        return said
    return said | {"Operations": [one for operation in operations for one in _apart(operation)]}


def _apart(operation: Any) -> list[Any]:
    value = operation.get("value") if isinstance(operation, dict) else None
    if not isinstance(value, dict) or "path" in operation:
        return [_bounded(operation, "path")]
    paths = [name for name in value if "[" in name]
    rest = {name: each for name, each in value.items() if name not in paths}
    kept = [operation | {"value": rest}] if rest or not paths else []
    apart = [{"op": operation.get("op"), "path": name, "value": value[name]} for name in paths]
    return kept + [_bounded(one, "path") for one in apart]


def _bounded(said: Any, name: str) -> Any:
    """An expression is read at ten microseconds a character: as long as one can be sensible, and no longer."""
    if isinstance(said, dict) and len(str(said.get(name, ""))) > LONGEST:
        raise InvalidFilterException(detail=f"{name}: at most {LONGEST} characters")
    return said


@scim
def remove(request: Request, provider: Provider) -> Response:
    """DELETE /Users/{id}, /Groups/{id} (section 3.6)"""
    with _changing(request, provider, "removed") as (shelf, facts):
        row = shelf.take(request.path_params["id"], request.headers.get("if-match", ""))
        facts.update(_facts(shelf, row))
        shelf.remove(row)
    return answer(None, 204)


@contextmanager
def _changing(request: Request, provider: Provider, what: str) -> Iterator[tuple[Shelf, dict[str, Any]]]:
    """One transaction that is on record, and felt by every process within a second."""
    world, kind = world_of(request), _kind(request)
    who, event = f"scim:{provider.slug}", f"scim.{kind.lower()}.{what}"
    with world.office.change(event, Concern.PEOPLE, Concern.CUTOFFS, who=who, address=address_of(request)) as (
        session,
        facts,
    ):
        yield Shelf(session, provider, kind, world.settings.base_url, time.time()), facts


def _found(request: Request, provider: Provider, asked: SearchRequest[Any]) -> Response:
    """A page of what was asked for (sections 3.4.2.2 to 3.4.2.4)."""
    most, start = min(asked.count if asked.count is not None else PAGE, PAGE), min(asked.start_index_0 or 0, FURTHEST)
    with world_of(request).office.database.read() as session:
        shelf = Shelf(session, provider, _kind(request), world_of(request).settings.base_url, time.time())
        if asked.filter or asked.sort_by:
            found = shelf.search(asked.filter) if asked.filter else shelf.page(0, shelf.count())
            total, page = len(found), asked.sort(found)[start : start + most]
        else:
            total, page = shelf.count(), shelf.page(start, most)
    model: Any = ListResponse[_model(request)]  # type: ignore[misc]
    listed = model(total_results=total, start_index=start + 1, items_per_page=len(page), resources=page)
    return answer(listed.model_dump(scim_ctx=Context.RESOURCE_QUERY_RESPONSE, response_parameters=asked))


def _one(
    resource: Resource[Any], row: ScimResource, context: Context, shown: ResponseParameters[Any], status: int = 200
) -> Response:
    said = resource.model_dump(scim_ctx=context, response_parameters=shown)
    headers = {"etag": version(row)}
    if status == 201 and resource.meta is not None and resource.meta.location:
        headers["location"] = resource.meta.location
    return answer(said, status, **headers)


def _facts(shelf: Shelf, row: ScimResource) -> dict[str, Any]:
    """For the record: who it is here, never what else the document says of them."""
    if row.kind != USER:
        return {"id": row.id, "group": row.name}
    person = shelf.session.get(Person, row.person) if row.person else None
    return {"id": row.id, "person": person.label if person else ""}


def _kind(request: Request) -> str:
    return USER if request.scope["path"].split("/")[3] == "Users" else GROUP


def _model(request: Request) -> type[Resource[Any]]:
    return MODELS[_kind(request)]


def _parameters(request: Request) -> ResponseParameters[Any]:
    asked = {name: value for name, value in _query(request).items() if name in {"attributes", "excludedAttributes"}}
    model: Any = ResponseParameters[_model(request)]  # type: ignore[misc]
    parameters: ResponseParameters[Any] = model.model_validate(asked)
    return parameters


def _query(request: Request) -> dict[str, str]:
    return dict(request.query_params)
