"""Which policies may be added, and what is said about the others."""

import pytest

from auth.callers import DATASETS, FIELDS
from modelyard.auth.validation import validate
from modelyard.protocol.errors import Failure
from modelyard.protocol.filtering import Field, Fields

KINDS: dict[str, Fields] = {
    DATASETS: FIELDS,
    "models": {"type": Field("type", "strings", ("type",)), "size": FIELDS["size"]},
}
OF_DATASETS = f'resource.kind == "{DATASETS}" && '


def refusal(text: str) -> tuple[str, str, int]:
    """Rule, message and line of why a policy is refused."""
    with pytest.raises(Failure) as refused:
        validate(text, lambda kind: KINDS.get(kind, {}))
    failure, details = refused.value, refused.value.details
    assert failure.code.symbol == "INVALID_REQUEST"
    assert details["field"] == "policy"
    head = f"The policy cannot be taken (line {details['line']}): "
    assert failure.message.startswith(head)
    return details["rule"], failure.message.removeprefix(head), details["line"]


def forbid(condition: str) -> str:
    return f"forbid (principal, action, resource)\nwhen {{\n  {condition}\n}};"


@pytest.mark.parametrize(
    "condition",
    [
        'resource.labels has class && resource.labels.class == "x"',
        'resource.labels has "a.b/c" && resource.labels["a.b/c"] != "x"',
        'resource has labels.class && resource.labels.class like "*x*"',
        OF_DATASETS + 'resource has type && resource.type like "image/*"',
        OF_DATASETS + 'resource has spec.head && resource.spec.head == "3"',
        OF_DATASETS + "resource has size && (resource.size <= 2 || 9 < resource.size)",
        OF_DATASETS + "resource has public && !resource.public",
        OF_DATASETS + 'resource has tags && resource.tags.contains("a")',
        OF_DATASETS + 'resource has tags && resource.tags.containsAny(["a", "b"])',
        OF_DATASETS + "resource has tags && resource.tags.containsAll(principal.roles)",
        'resource has size && ["models", "catalog/datasets"].contains(resource.kind)',
        '["a", "b"].contains(resource.id)',
        "principal.id == resource.created_by && resource.workspace != principal.workspace",
        'if context.granted then resource.id == "a" else resource.id != "b"',
        'action in [Action::"dataset:*", Action::"*:split"] && resource.id == "x"',
        'principal == User::"user_1" && resource is Resource',
        "principal has clearance_level && principal.clearance_level < 3",
        "principal has project && resource.labels has p && resource.labels.p == principal.project",
        'decimal("1.0").lessThan(decimal("2.0"))',  # no resource in it: all of Cedar may be used
    ],
)
def test_admitted(condition: str) -> None:
    validate(forbid(condition), lambda kind: KINDS.get(kind, {}))


@pytest.mark.parametrize(
    ("condition", "rule", "told"),
    [
        ('resource.labels.class == "x"', "guard", "write 'resource.labels has class &&' before"),
        ('resource.labels["a.b"] == "x"', "guard", "write 'resource.labels has \"a.b\" &&'"),
        (OF_DATASETS + 'resource.type == "x"', "guard", "write 'resource has type &&' before"),
        (OF_DATASETS + 'resource.spec.head like "x"', "guard", "'resource has spec.head &&'"),
        ("principal.clearance_level > 3", "guard", "'principal has clearance_level &&'"),
        ("principal.salary > 3", "field", "a caller has no 'salary'; there are id, workspace"),
        ('resource.type == "x"', "kind", "which kind has 'type'? Write resource.kind == "),
        ('resource.kind == "dataset"', "kind", "there is no kind 'dataset'"),
        (OF_DATASETS + "resource has tipe", "field", "'tipe' cannot be asked of catalog/datasets"),
        (OF_DATASETS + "resource has rating", "field", "'rating' is number; policies compare"),
        (OF_DATASETS + "resource has createdAt", "field", "'createdAt' is time"),
        (
            'resource has type && ["models", "catalog/datasets"].contains(resource.kind)',
            "field",
            "'type' is string or strings",
        ),
        ('resource has labels.a.b && resource.id == "x"', "field", "a label is a text"),
        (OF_DATASETS + "resource has size && resource.size + 1 > 2", "construct", "'+' is no part"),
        (OF_DATASETS + "resource has tags && resource.tags.isEmpty()", "construct", "'isEmpty'"),
        (
            OF_DATASETS + 'resource has tags && ["a"].containsAny(resource.tags)',
            "construct",
            "write resource.tags.containsAny([…])",
        ),
        ("resource.id == resource.created_by", "construct", "cannot compare two attributes"),
        ('resource.id like "a*b"', "construct", "'like' takes * at the ends"),
        ('resource.id like "a\\**"', "construct", "'like' takes * at the ends"),
        ('resource.id == "*"', "construct", "\"*\" cannot be compared with; write 'has'"),
        ('[resource.id].contains("x")', "construct", "a set cannot hold an attribute"),
        ('if resource.id == "x" then true else false', "construct", "write (a && b) || (!a && c)"),
        ('(resource.id == "x") == true', "construct", "write conditions with && || !"),
        ("resource == principal", "construct", "write conditions with && || !"),
        ('resource.id == "x" && principal is User in User::"x"', "construct", "'is … in'"),
        ('resource.id == "x" && principal.roles == ["a"]', "construct", ".contains(…)"),
        ('resource in Resource::"x"', "entity", "there is no entity type 'Resource'"),
        ('principal in Team::"x"', "entity", "there are User, Key, ServiceAccount"),
        ('action in Action::"reading"', "permission", "'reading' is no permission"),
        ("context.foo", "cedar", "attribute `foo` in context"),
        ("resource.shout()", "cedar", "`shout` is not a valid method"),
    ],
)
def test_refused_with_a_way_out(condition: str, rule: str, told: str) -> None:
    found, message, line = refusal(forbid(condition))
    assert (found, line) == (rule, 3)
    assert told in message


@pytest.mark.parametrize(
    ("text", "rule", "told", "line"),
    [
        ("", "cedar", "there is no permit and no forbid in it", 1),
        ("// nothing", "cedar", "there is no permit", 1),
        ("permit (principal, action,\nresource", "cedar", "unexpected end of input", 2),
        ("\nfoo (principal);\npermit (principal, action, resource);", "cedar", "foo", 2),
        ("permit (principal, action, resource) when {\nprincipal.id == };\n", "cedar", "`}`", 2),
        ("permit (principal == ?principal, action, resource);", "cedar", "name the caller", 1),
        (
            'permit (principal, action, resource == Resource::"x");',
            "construct",
            'resource.kind == "…" && resource.id == "…"',
            1,
        ),
        (
            'forbid (principal, action in Action::"dataset:write", resource);',
            "permission",
            'name each: Action::"dataset:create", …, or all of them: Action::"dataset:*"',
            1,
        ),
        (
            'permit (principal, action == Action::"dataset:*", resource);',
            "permission",
            "write 'action in' before it",
            1,
        ),
        (
            "// one;\npermit (principal, action, resource);\n\n"
            '@id(";")\nforbid (principal, action,\n  resource)\nwhen { principal.id\n== 1 };',
            "cedar",
            "the types Long and String are not compatible",
            4,
        ),
    ],
)
def test_refused_at_its_line(text: str, rule: str, told: str, line: int) -> None:
    found, message, at = refusal(text)
    assert (found, at) == (rule, line)
    assert told in message


@pytest.mark.parametrize(
    "condition",
    [
        "(" * 60 + "true" + ")" * 60,
        "(" * 4000 + "true" + ")" * 4000,
        "// \r" + "(" * 4000 + "true" + ")" * 4000,
        '"(" == "(" && ' + "[" * 4000 + "]" * 4000 + " == []",
        "true && " * 120 + "true",
        "true && " * 1100 + "true",
        "principal" + ".a" * 3000,
        " " * 20_000,
    ],
)
def test_what_would_overflow_the_stack_is_refused(condition: str) -> None:
    rule, message, _ = refusal(forbid(condition))
    assert rule == "cedar"
    assert "make several policies" in message
