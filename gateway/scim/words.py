"""What we say of ourselves to a SCIM client, and how strictly we read it."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from scim2_models import (
    AuthenticationScheme,
    Bulk,
    ChangePassword,
    EnterpriseUser,
    ETag,
    Filter,
    Group,
    Patch,
    ResourceType,
    ScimPolicy,
    ScimProvider,
    ServiceProviderConfig,
    Sort,
    User,
)

PATH: Final = "/scim/v2"
PAGE: Final = 200  # resources in one answer
USERS: Final = User[EnterpriseUser]
GROUPS: Final = Group
ENDPOINTS: Final = {"Users": USERS, "Groups": GROUPS}

# As Microsoft Entra sends it: attributes nobody declared, a `value` that says what to remove, a path to what is new.
READING: Final = ScimPolicy(
    unknown=ScimPolicy.Unknown.ignore,
    remove_value_as_filter=ScimPolicy.RemoveValue.apply,
    unmatched_path_filter=ScimPolicy.UnmatchedPathFilter.create,
)


@lru_cache(maxsize=1)
def service() -> ScimProvider:
    """The resources that we keep and what we can do (RFC 7644 section 4)."""
    return ScimProvider(
        models=[User, EnterpriseUser, Group],
        resource_types=[ResourceType.from_resource(USERS), ResourceType.from_resource(Group)],
        config=ServiceProviderConfig(
            patch=Patch(supported=True),
            bulk=Bulk(supported=False, max_operations=0, max_payload_size=0),
            filter=Filter(supported=True, max_results=PAGE),
            change_password=ChangePassword(supported=False),
            sort=Sort(supported=True),
            etag=ETag(supported=True),
            authentication_schemes=[
                AuthenticationScheme(
                    type=AuthenticationScheme.Type.oauthbearertoken,
                    name="Bearer token",
                    description="A token of `ostiary scim token`, in the Authorization header",
                    primary=True,
                )
            ],
        ),
        policy=READING,
    )
