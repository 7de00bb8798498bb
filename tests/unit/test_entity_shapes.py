"""How actions, packages, triggers, rules and identities look on the wire."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from sabayon.entity.action import Action, action_summary
from sabayon.entity.exec import Exec
from sabayon.entity.identity import new_identity, new_secret
from sabayon.entity.names import EntityName
from sabayon.entity.package import Binding, Package, package_summary, package_view
from sabayon.entity.parameters import Parameters, parameter
from sabayon.entity.rule import Rule, rule_view
from sabayon.entity.trigger import AttachedRule, Trigger, trigger_summary

COMMON = '"publish":false,"updated":7,"version":"0.0.1"}'
FIELDS: dict[str, Any] = {"namespace": "acme", "updated": 7, "version": "0.0.1"}
TEAM = (parameter("team", "media"),)
PLAIN = Package(annotations=TEAM, name="imaging", parameters=(parameter("bucket", "raw"),), **FIELDS)
BOUND = Package(binding=Binding("imaging", "acme"), name="mine", **FIELDS)
RESIZE = EntityName("resize", "acme/imaging")
UPLOADED = EntityName("uploaded", "acme")


def wire(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def action(kind: str = "python:3.11", annotations: Parameters = ()) -> Action:
    exec_ = Exec(kind=kind, components=()) if kind == "sequence" else Exec(kind=kind, code="x", binary=False)
    return Action(name="resize", exec=exec_, annotations=annotations, **{**FIELDS, "namespace": "acme/imaging"})


def trigger() -> Trigger:
    return Trigger(name="uploaded", parameters=(parameter("source", "s3"),), **FIELDS)


def test_an_action() -> None:
    assert wire(action()) == (
        '{"annotations":[],"exec":{"binary":false,"code":"x","kind":"python:3.11"},'
        '"limits":{"concurrency":1,"logs":10,"memory":256,"timeout":60000},'
        '"name":"resize","namespace":"acme/imaging","parameters":[],' + COMMON
    )


@pytest.mark.parametrize("kind", ["python:3.11", "sequence"])
def test_an_action_in_a_list_shows_nothing_of_its_code(kind: str) -> None:
    assert wire(action_summary(action(kind))) == (
        '{"annotations":[],"exec":{"binary":false},"limits":{"concurrency":1,"logs":10,"memory":256,"timeout":60000},'
        '"name":"resize","namespace":"acme/imaging",' + COMMON
    )


@pytest.mark.parametrize(("value", "expected"), [(True, True), (1, True), ("no", True), (False, False), (None, False)])
def test_a_conductor_is_an_action_whose_annotation_is_truthy(value: Any, expected: bool) -> None:
    annotations = (parameter("conductor", value),)
    assert action(annotations=annotations).is_conductor is expected
    assert not action("sequence", annotations).is_conductor
    assert not action().is_conductor


@pytest.mark.parametrize(("value", "expected"), [(True, True), ("", False), (False, False), (None, False)])
def test_a_key_is_exposed_when_the_annotation_is_truthy_or_absent(value: Any, expected: bool) -> None:
    assert action(annotations=(parameter("provide-api-key", value),)).exposes_api_key is expected
    assert action().exposes_api_key


@pytest.mark.parametrize(
    ("package", "binding"), [(PLAIN, "{}"), (BOUND, '{"name":"imaging","namespace":"acme"}')], ids=["plain", "bound"]
)
def test_a_package_that_was_put(package: Package, binding: str) -> None:
    view = msgspec.json.decode(wire(package_view(package)))
    assert view["binding"] == msgspec.json.decode(binding)
    assert list(view) == sorted(view)
    assert set(view) == {
        *("annotations", "binding", "name", "namespace", "parameters", "publish", "updated", "version"),
    }


def test_a_plain_package_in_a_list_has_false_for_a_binding() -> None:
    assert wire(package_summary(PLAIN)) == (
        '{"annotations":[{"key":"team","value":"media"}],"binding":false,"name":"imaging","namespace":"acme",' + COMMON
    )


def test_a_binding_in_a_list_names_its_package() -> None:
    assert wire(package_summary(BOUND)) == (
        '{"annotations":[],"binding":{"name":"imaging","namespace":"acme"},"name":"mine","namespace":"acme",' + COMMON
    )
    assert BOUND.binding is not None
    assert BOUND.binding.target == PLAIN.entity_name


def test_a_trigger_that_never_had_a_rule() -> None:
    assert wire(trigger()) == (
        '{"annotations":[],"limits":{},"name":"uploaded","namespace":"acme",'
        '"parameters":[{"key":"source","value":"s3"}],' + COMMON
    )


def test_a_trigger_with_a_rule() -> None:
    attached = trigger().attach("acme/onUpload", AttachedRule(RESIZE, "active"))
    assert wire(attached) == (
        '{"annotations":[],"limits":{},"name":"uploaded","namespace":"acme",'
        '"parameters":[{"key":"source","value":"s3"}],"publish":false,'
        '"rules":{"acme/onUpload":{"action":{"name":"resize","path":"acme/imaging"},"status":"active"}},'
        '"updated":7,"version":"0.0.1"}'
    )


def test_attaching_again_replaces_and_detaching_the_last_rule_leaves_an_empty_object() -> None:
    active = trigger().attach("acme/r", AttachedRule(RESIZE, "active"))
    inactive = active.attach("acme/r", AttachedRule(RESIZE, "inactive"))
    assert inactive.attached() == {"acme/r": AttachedRule(RESIZE, "inactive")}
    assert inactive.detach("acme/other").attached() == inactive.attached()
    assert inactive.detach("acme/r").rules == {}
    assert active.attached() == {"acme/r": AttachedRule(RESIZE, "active")}
    assert trigger().attached() == {}


def test_a_trigger_in_a_list() -> None:
    assert wire(trigger_summary(trigger())) == '{"annotations":[],"name":"uploaded","namespace":"acme",' + COMMON


def test_a_rule_shows_its_status_only_by_itself() -> None:
    rule = Rule(action=RESIZE, trigger=UPLOADED, name="onUpload", **FIELDS)
    ends = '"trigger":{"name":"uploaded","path":"acme"},"updated":7,"version":"0.0.1"}'
    starts = (
        '{"action":{"name":"resize","path":"acme/imaging"},"annotations":[],"name":"onUpload","namespace":"acme",'
        '"publish":false,'
    )
    assert wire(rule) == starts + ends
    assert wire(rule_view(rule, "inactive")) == starts + '"status":"inactive",' + ends


@pytest.mark.parametrize(
    ("entity", "id"),
    [
        (action(), "acme/imaging/resize"),
        (PLAIN, "acme/imaging"),
        (trigger(), "acme/uploaded"),
        (Rule(action=RESIZE, trigger=UPLOADED, name="onUpload", **FIELDS), "acme/onUpload"),
    ],
    ids=["action", "package", "trigger", "rule"],
)
def test_all_kinds_share_one_space_of_ids(entity: Any, id: str) -> None:
    assert entity.entity_name.id == id


def test_what_was_written_can_be_read_back() -> None:
    for entity in (action(), PLAIN, BOUND, trigger().attach("acme/r", AttachedRule(RESIZE, "active"))):
        assert msgspec.json.decode(wire(entity), type=type(entity)) == entity


def test_a_new_identity_has_a_key_of_its_own_and_never_shows_it_by_accident() -> None:
    identity, other = new_identity("ns"), new_identity("ns")
    assert identity.auth_key == f"{identity.uuid}:{identity.secret}"
    assert {identity.uuid, identity.secret}.isdisjoint({other.uuid, other.secret})
    assert identity.secret not in f"{identity} {identity!r} {[identity]}"


def test_a_secret_is_64_letters_and_digits() -> None:
    assert len(new_secret()) == 64
    assert new_secret().isascii() and new_secret().isalnum()


@pytest.mark.parametrize(
    ("namespace", "subject", "expected"), [("ns", None, "ns___"), ("guests", None, "guests"), ("ns", "who", "who")]
)
def test_a_subject_has_at_least_five_characters_unless_it_was_chosen(
    namespace: str, subject: str | None, expected: str
) -> None:
    assert new_identity(namespace, subject).subject == expected
