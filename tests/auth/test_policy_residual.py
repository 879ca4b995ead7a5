"""A list's rights: the filter lets through exactly the rows that Cedar itself allows."""

from typing import Any

import cedarpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auth.callers import DATASETS, FIELDS, PLAIN, ROLES, dataset, key, user
from modelyard.auth.policy import PolicySet
from modelyard.auth.validation import validate
from modelyard.kernel.ports import Row
from modelyard.kernel.principal import Principal, granting
from modelyard.protocol.errors import Failure
from modelyard.protocol.filtering import NOTHING, Compare, Field, Fields, Has, Not
from modelyard.protocol.matching import matches

KINDS: dict[str, Fields] = {
    DATASETS: FIELDS,
    "models": {name: FIELDS[name] for name in ("tags", "size", "labels")},
    "bare": {"labels": FIELDS["labels"]},
}
WORDS = ("a", "ab", "b", "", "x")  # "x" is a label's key, too


def allowed_by_cedar(
    policies: dict[str, str], principal: Principal, permission: str, row: Row
) -> bool:
    """Cedar's decision for one row, with entities made here of everything that the row has."""
    attributes: dict[str, Any] = {
        "kind": row.address.kind,
        "id": row.address.id,
        "workspace": row.address.workspace,
        "created_by": row.created_by,
        "labels": row.labels,
    }
    for name, field in KINDS[row.address.kind].items():
        node, value = attributes, row.spec
        for step in name.split(".")[:-1]:
            node, value = node.setdefault(step, {}), value.get(step, {})
        found = value.get(name.rpartition(".")[2])
        if field.kind in ("string", "integer", "boolean", "strings") and found not in (None, []):
            node[name.rpartition(".")[2]] = found
    kind = {"key": "Key", "user": "User", "service_account": "ServiceAccount"}[principal.kind]
    caller = {"type": kind, "id": principal.id}
    own = {"id": principal.id, "workspace": principal.workspace, "roles": list(principal.roles)}
    above = [{"type": "Action", "id": one} for one in granting(permission) - {permission}]
    entities = [
        {"uid": caller, "attrs": own | principal.attributes, "parents": []},
        {"uid": {"type": "Action", "id": permission}, "attrs": {}, "parents": above},
        {"uid": {"type": "Resource", "id": row.address.name}, "attrs": attributes, "parents": []},
    ]
    request = {
        "principal": caller,
        "action": {"type": "Action", "id": permission},
        "resource": {"type": "Resource", "id": row.address.name},
        "context": {"granted": not granting(permission).isdisjoint(principal.scopes)},
    }
    result = cedarpy.is_authorized(request, ROLES + "".join(policies.values()), entities)
    assert result.diagnostics.errors == []
    return result.allowed


def value_of(row: Row, field: Field) -> Any:
    if field.column:
        return getattr(row.address if field.column in ("id", "workspace") else row, field.column)
    value: Any = row.spec
    for step in field.path:
        value = value.get(step) if value else None
    return value


# A grammar of policies that can be added

words, numbers = st.sampled_from(WORDS), st.integers(-1, 3)
quoted = words.map('"{}"'.format)
sets = st.lists(quoted, min_size=1, max_size=3).map(lambda found: f"[{', '.join(found)}]")
equals, orders = st.sampled_from(["==", "!="]), st.sampled_from(["<", "<=", ">", ">=", "==", "!="])
kinds = st.sampled_from([f'"{kind}"' for kind in KINDS])
likes = st.sampled_from(['"a*"', '"*b"', '"*a*"', '"*"', '"a"', '""'])
texts = st.sampled_from(
    [
        ("", "resource.id"),
        ("", "resource.created_by"),
        ("", "resource.workspace"),
        ("resource.labels has x && ", "resource.labels.x"),
        ('resource has labels && resource.labels has "y/z" && ', 'resource.labels["y/z"]'),
        (f'resource.kind == "{DATASETS}" && resource has type && ', "resource.type"),
        ("resource has spec.head && ", "resource.spec.head"),
    ]
)
mine = st.sampled_from(["principal.id", "principal.workspace"])
abouts = st.one_of(
    st.builds("({0[0]}{0[1]} {1} {2})".format, texts, equals, quoted | mine),
    st.builds("({0[0]}{2} {1} {0[1]})".format, texts, equals, quoted | mine),
    st.builds("({0[0]}{0[1]} like {1})".format, texts, likes),
    st.builds("({0[0]}{1}.contains({0[1]}))".format, texts, sets),
    st.builds("(resource.kind {} {})".format, equals, kinds),
    st.builds("([{}, {}].contains(resource.kind))".format, kinds, kinds),
    st.builds("(resource has size && resource.size {} {})".format, orders, numbers),
    st.builds("(resource has size && {} {} resource.size)".format, numbers, orders),
    st.builds("(resource has tags && resource.tags.contains({}))".format, quoted),
    st.builds("(resource has tags && resource.tags.containsAny({}))".format, sets),
    st.builds("(resource has tags && resource.tags.containsAll({}))".format, sets),
    st.sampled_from(
        [
            "(resource has public && resource.public)",
            "(resource has public && resource.public == false)",
            "(resource has tags && resource.tags.containsAny(principal.roles))",
            "(principal.roles.contains(resource.id))",
            "(resource has type)",
            "(resource has labels.x)",
            "(resource is Resource)",
        ]
    ),
)
knowns = st.one_of(
    st.builds(
        "(principal has clearance_level && principal.clearance_level {} {})".format, orders, numbers
    ),
    st.builds("(principal has project && principal.project like {})".format, likes),
    st.builds("(principal.roles.contains({}))".format, quoted),
    st.sampled_from(
        [
            "(principal is Key)",
            'principal == User::"a"',
            "context.granted",
            'action in [Action::"dataset:write", Action::"model:*"]',
            'action == Action::"dataset:read"',
            "(principal has department)",
            "true",
        ]
    ),
)
conditions: st.SearchStrategy[str] = st.recursive(
    abouts | abouts | knowns,
    lambda inner: st.one_of(
        st.builds("({} && {})".format, inner, inner),
        st.builds("({} || {})".format, inner, inner),
        st.builds("!({})".format, inner),
        st.builds("(if {} then {} else {})".format, knowns, inner, inner),
    ),
    max_leaves=6,
)
heads = st.sampled_from(["principal", "principal is User", 'principal == User::"a"'])
asked = st.sampled_from(
    ["action", 'action in Action::"dataset:*"', 'action in [Action::"*:read"]', "action"]
)
clauses = st.builds("{} {{ {} }}".format, st.sampled_from(["when", "unless"]), conditions)
# The last clause names the kinds whose fields are read; it changes nothing.
NAMES = f'unless {{ resource.kind == "{DATASETS}" && false }}'
statements = st.builds(
    "{} ({}, {}, resource)\n{}\n{};\n".format,
    st.sampled_from(["permit", "forbid"]),
    heads,
    asked,
    st.lists(clauses, min_size=1, max_size=2).map("\n".join),
    st.just(NAMES),
)
policies = st.lists(statements, min_size=1, max_size=3).map(
    lambda found: {f"pol_{number}": text for number, text in enumerate(found)}
)
principals = st.builds(
    Principal,
    id=st.sampled_from(["a", "ab"]),
    workspace=words,
    scopes=st.sampled_from([(), ("*:*",), ("dataset:read",)]),
    kind=st.sampled_from(["key", "user", "service_account"]),
    roles=st.sampled_from([(), ("admin",), ("data_engineer", "a")]),
    attributes=st.fixed_dictionaries(
        {}, optional={"clearance_level": numbers, "project": words, "department": words}
    ),
)
specs = st.fixed_dictionaries(
    {},
    optional={
        "type": words,
        "spec": st.fixed_dictionaries({}, optional={"head": words}),
        "size": numbers,
        "public": st.booleans(),
        "tags": st.lists(words, max_size=3),
    },
)
rows = st.one_of(
    st.builds(
        dataset,
        name=words,
        workspace=words,
        created_by=words,
        labels=st.fixed_dictionaries({}, optional={"x": words, "y/z": words}),
        spec=specs,
    ),
    st.builds(
        dataset,
        kind=st.just("models"),
        name=words,
        spec=st.fixed_dictionaries({}, optional={"tags": st.lists(words), "size": numbers}),
    ),
    st.builds(dataset, kind=st.just("bare"), name=words, spec=st.just({"type": "a", "size": 1})),
)


permissions = st.sampled_from(["dataset:read", "model:write"])


@settings(max_examples=300, deadline=None)
@given(policies, principals, permissions, st.lists(rows, min_size=1, max_size=4))
def test_lists_show_what_cedar_allows(
    added: dict[str, str], principal: Principal, permission: str, found: list[Row]
) -> None:
    for text in added.values():
        validate(text, KINDS.__getitem__)
    held = PolicySet(added, KINDS.__getitem__)
    for row in found:
        expected = allowed_by_cedar(added, principal, permission, row)
        assert listed(held, principal, permission, row) is expected
        assert admitted(held, principal, permission, row) is expected


def listed(held: PolicySet, principal: Principal, permission: str, row: Row) -> bool:
    kind = row.address.kind
    rights = held.visible(principal, permission, kind, KINDS[kind])
    return rights is None or matches(rights, lambda field: value_of(row, field))


def admitted(held: PolicySet, principal: Principal, permission: str, row: Row) -> bool:
    try:
        held.check(principal, permission, row)
    except Failure:
        return False
    return True


def shown(text: str, principal: Principal, kind: str = DATASETS) -> Any:
    return PolicySet({"p": text}, KINDS.__getitem__).visible(
        principal, "dataset:read", kind, KINDS[kind]
    )


def test_without_policies_a_list_shows_all_or_nothing() -> None:
    assert PLAIN.visible(key("dataset:*"), "dataset:read", DATASETS, FIELDS) is None
    assert PLAIN.visible(user(roles=("data_engineer",)), "dataset:read", DATASETS, FIELDS) is None
    assert PLAIN.visible(key("model:*"), "dataset:read", DATASETS, FIELDS) == NOTHING


def test_the_filter_names_the_kind_s_own_fields() -> None:
    text = """permit (principal, action in Action::"dataset:read", resource)
    when { resource.created_by == principal.id || resource.labels has open };"""
    own = Compare(FIELDS["createdBy"], "=", "user_1")
    assert shown(text, user()).parts == (own, Has(FIELDS["labels"], "open"))
    bare = Compare(Field("created_by", "string", (), "created_by"), "=", "user_1")
    assert shown(text, user(), "bare").parts[0] == bare


@pytest.mark.parametrize("level", [2, 3])
def test_what_is_known_leaves_no_trace(level: int) -> None:
    text = """forbid (principal, action, resource)
    when { resource.labels has class && resource.labels.class == "secret" }
    unless { principal has clearance_level && principal.clearance_level >= 3 };"""
    caller = key("*:*", attributes={"clearance_level": level})
    hidden = Has(FIELDS["labels"], "secret", key="class")
    assert shown(text, caller) == (Not(hidden) if level == 2 else None)


def test_a_guard_is_left_out_and_nothing_else() -> None:
    text = """permit (principal, action, resource) when {
      resource.labels has a && resource.labels has b &&
      resource.labels.a == "b" && resource.labels.b == "a" };"""
    labels = FIELDS["labels"]
    assert shown(text, user()).parts == (Has(labels, "b", key="a"), Has(labels, "a", key="b"))


def test_a_general_forbid_hides_all() -> None:
    assert shown('forbid (principal, action in Action::"*:read", resource);', key("*:*")) == NOTHING
    text = 'forbid (principal, action, resource) when { resource.kind like "catalog/*" };'
    assert shown(text, key("*:*")) == NOTHING
    assert shown(text, key("*:*"), "models") is None


@pytest.mark.parametrize(
    "condition",
    ["resource.gone == 1", "resource.size + 1 == 2", "principal.project == resource.id"],
)
def test_what_cannot_be_a_filter_hides(condition: str) -> None:
    """Such a policy is refused when it is added; if it is there all the same, nothing leaks."""
    forbid = f"forbid (principal, action, resource) when {{ {condition} }};"
    assert shown(forbid, key("*:*")) == NOTHING
    permit = f"permit (principal, action, resource) when {{ {condition} }};"
    assert shown(permit, user()) == NOTHING


def test_labels_that_the_store_does_not_keep_hide() -> None:
    text = "forbid (principal, action, resource) when { resource.labels has secret };"
    rights = PolicySet({"p": text}).visible(key("*:*"), "dataset:read", "unlabelled", {})
    assert rights == NOTHING


def test_a_value_that_a_filter_would_take_for_any_hides() -> None:
    text = """permit (principal, action, resource) when {
      principal has project && resource.labels has p && resource.labels.p == principal.project };"""
    label = Has(FIELDS["labels"], "x", key="p")
    assert shown(text, user(attributes={"project": "x"})) == label
    assert shown(text, user(attributes={"project": "*"})) == NOTHING
