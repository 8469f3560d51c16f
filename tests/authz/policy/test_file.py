from __future__ import annotations

import pytest

from authz.errors import RuleRefused
from authz.policy.file import carry_out, plan, read, write
from authz.policy.rules import Binding, Draft, bind_role, remove_rule, unbind_role, write_rule
from tests.fakes.parties import database_in

FILE = """
rules:
  - {subject: "role:editor", object: "notes.*", action: "*"}
  - subject: group:readers
    object: notes.notes_delete
    action: list
    note: so that they see what they may ask for
  - {subject: "user:eve", object: notes.add, action: call, effect: deny, portal: default, ends_at: 2030-01-01T00:00:00Z}
roles:
  - {subject: "group:editors", role: editor}
"""


@pytest.fixture
def session(tmp_path):
    with database_in(tmp_path) as database, database.change() as session:
        yield session


def test_what_was_applied_is_exported_as_it_was(session):
    wanted = read(FILE)
    carry_out(session, plan(session, wanted), who="t", now=1.0)
    assert read(write(session)) == wanted
    assert not plan(session, wanted)


def test_applying_makes_the_policy_what_the_file_says_and_shows_how(session):
    write_rule(session, Draft(subject="user:old", object="notes.*", action="call"), who="t", now=0)
    changed = Draft(subject="group:readers", object="notes.notes_delete", action="list", note="old words")
    write_rule(session, changed, who="t", now=0)
    bind_role(session, Binding(subject="group:gone", role="editor"))
    what = plan(session, read(FILE))
    lines = what.lines()
    assert "- allow user:old call notes.*" in lines
    assert "+ allow role:editor * notes.*" in lines
    assert "+ deny user:eve call notes.add in default until 2030-01-01T00:00:00Z" in lines
    assert any(line.startswith("~ allow group:readers list") for line in lines)
    assert "- group:gone is editor" in lines
    assert "+ group:editors is editor" in lines
    carry_out(session, what, who="t", now=1.0)
    assert not plan(session, read(FILE))


def test_a_rule_keeps_its_id_when_it_is_removed_and_applied_again(session):
    draft = Draft(subject="user:a", object="notes.*", action="call")
    first = write_rule(session, draft, who="t", now=0).id
    remove_rule(session, first)
    assert write_rule(session, draft, who="t", now=9).id == first


def test_the_same_rule_twice_is_one_rule_with_the_later_note(session):
    for note in ("one", "two"):
        rule = write_rule(session, Draft(subject="user:a", object="n.*", action="call", note=note), who="t", now=0)
    assert rule.note == "two"
    assert len(read(write(session)).rules) == 1


def test_removing_what_is_not_there_says_where_to_look(session):
    with pytest.raises(RuleRefused, match="policy list"):
        remove_rule(session, "r_nothing")
    with pytest.raises(RuleRefused, match="does not have the role"):
        unbind_role(session, Binding(subject="user:a", role="editor"))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("rules:\n- {subject: user:a, object: n.x, action: *}", "needs quotes"),
        ("- a", "two parts"),
        ("rulez: []", "two parts"),
        ("rules: 3", "rules: must be a list"),
        ("rules:\n- 3", "rules 1: must be a mapping"),
        ("rules:\n- {subject: user:a, object: n.x}", "action: missing"),
        ("rules:\n- {subject: user:a, object: n.x, action: call, condition: {}}", "condition: not known here"),
        ("rules:\n- {subject: user:a, object: n.x, action: 3}", "action: must be text"),
        ("rules:\n- {subject: user:a, object: n.x, action: call, ends_at: soon}", "must be a time"),
        ("rules:\n- {subject: user:a, object: n.x, action: call, subject: user:b}", "twice"),
        ("rules: []\nrules: []", "twice"),
        ("rules:\n- &r {subject: user:a, object: n.x, action: call}\n- *r", "says the same"),
        ("roles:\n- {subject: role:a, role: b}", "a role is given to"),
        ("!!python/object/apply:os.system [id]", "not YAML"),
        ("{", "not YAML"),
    ],
)
def test_a_file_with_a_mistake_is_refused_whole_and_says_where(text, says):
    with pytest.raises(RuleRefused, match=says):
        read(text)


def test_every_mistake_is_named_at_once():
    with pytest.raises(RuleRefused) as refused:
        read("rules:\n- {subject: a, object: b, action: c}\n- {}\nroles:\n- {}")
    text = str(refused.value)
    assert all(part in text for part in ("rules 1: subject 'a'", "object 'b'", "action 'c'", "rules 2:", "roles 1:"))
