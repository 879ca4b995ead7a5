"""The policies of all workspaces: each decides about its own callers."""

from collections.abc import Callable, Iterable

from modelyard.auth.policy import PolicySet, built_in
from modelyard.identity.policies import policies
from modelyard.kernel.ports import Row
from modelyard.kernel.principal import Principal
from modelyard.protocol.filtering import Fields, Filter


class Rulebook:
    """Implements ``kernel.ports.Policies`` with a set for each workspace that added some.

    To read policies takes milliseconds, and 0.1 s for the first of a process: where there are
    some, make it in a thread. What ``before`` has read is not read again.
    """

    def __init__(
        self,
        rows: Iterable[Row],
        fields_of: Callable[[str], Fields],
        before: "Rulebook | None" = None,
    ) -> None:
        texts: dict[str, dict[str, str]] = {}
        for row in rows:
            spec = policies.load(row)
            if spec.enabled:
                texts.setdefault(row.address.workspace, {})[row.address.id] = spec.policy
        self._texts = texts
        self._builtin: PolicySet = before._builtin if before else PolicySet({}, fields_of)
        self._sets: dict[str, PolicySet] = {}
        for name, added in texts.items():
            if before and before._texts.get(name) == added:
                self._sets[name] = before._sets[name]
            else:
                self._sets[name] = PolicySet(added, fields_of)

    @property
    def ready(self) -> bool:
        """Whether roles are decided about without a wait."""
        return self._builtin.ready

    def prepare(self) -> None:
        """See ``PolicySet.prepare``."""
        self._builtin.prepare()
        built_in().prepare()

    def check(self, principal: Principal, permission: str, row: Row | None = None) -> None:
        """Raise ``PERMISSION_DENIED`` unless the caller's workspace allows that."""
        self._of(principal).check(principal, permission, row)

    def visible(
        self, principal: Principal, permission: str, kind: str, fields: Fields
    ) -> Filter | None:
        """What a list may show to the caller."""
        return self._of(principal).visible(principal, permission, kind, fields)

    def _of(self, principal: Principal) -> PolicySet:
        return self._sets.get(principal.workspace, self._builtin)
