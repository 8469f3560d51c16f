"""SCIM 2.0 inbound (RFC 7643, RFC 7644): a provider keeps its people and groups here by itself.

The grammar (schemas, filters, paths, PATCH) is scim2-models'; what it means for people of ours is
`authz.people.provisioning`. Imported when the first request comes: nobody else needs these models in memory.
"""
