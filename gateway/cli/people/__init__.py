"""Verbs about people: users, groups, administrators, and provisioning by SCIM."""
