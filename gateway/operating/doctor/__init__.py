"""What is missing before production, and why. Each question is a function that yields checks; nothing is changed."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from gateway.operating.doctor import doors, kept, people, servers
from gateway.operating.doctor.processes import processes
from gateway.operating.doctor.webhook import outbox
from gateway.operating.doctor.workloads import workloads

if TYPE_CHECKING:
    from gateway.office import Office
    from gateway.operating.checks import Check

QUESTIONS: Final = (
    doors.public_url,
    doors.proxy,
    doors.tls,
    people.administrators,
    people.providers,
    people.second_factors,
    people.provisioning,
    kept.database,
    kept.keys,
    kept.secrets,
    kept.files,
    kept.demo,
    kept.journal,
    kept.journal_index,
    kept.backup,
    doors.openings,
    doors.metrics,
    processes,
    outbox,
    workloads,
    servers.policy,
    servers.servers,
)


def examine(office: Office, now: float | None = None) -> list[Check]:
    """Every question, worst answers first."""
    moment = time.time() if now is None else now
    checks = [check for question in QUESTIONS for check in question(office, moment)]
    return sorted(checks, key=lambda check: -check.state)
