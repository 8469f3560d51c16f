"""LDAP and Active Directory (RFC 4511): a name and a password become an identity; the directory is asked for groups.

`policy` and `refusals` need nothing but Python. The rest speaks through python-ldap, which is an extra.
"""
