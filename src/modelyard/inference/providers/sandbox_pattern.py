"""A short string that a regular expression (ECMA-262, as in JSON Schema) matches, at best effort.

Literals, classes, groups, alternatives and repetitions are followed; look-arounds, back references
and Unicode properties are passed over. The string is built, never searched for, so a hostile
expression costs no more than its length.
"""

_CLASSES = {"d": "0", "w": "a", "s": " ", "D": "a", "W": "-", "S": "a"}
_CONTROL = {"t": "\t", "n": "\n", "r": "\r", "f": "\f", "v": "\v", "0": "\0"}
_CANDIDATES = "aA0 _-.!é"
_LIMIT = 2_000  # characters of a string, and depth times length of an expression


class PatternTooLong(ValueError):
    """The shortest match, or the expression, is longer than the sandbox writes."""


def example(pattern: str, at_least: int = 0) -> str:
    """A match of ``pattern``; open repetitions are drawn out until it has ``at_least`` characters.

    Raises PatternTooLong.
    """
    if len(pattern) > _LIMIT or at_least > _LIMIT:
        raise PatternTooLong(f"a pattern and its match have at most {_LIMIT} characters")
    text = _Reader(pattern, 0).alternatives()
    return text if len(text) >= at_least else _Reader(pattern, at_least).alternatives()


class _Reader:
    """Reads an expression once, from left to right, and writes a match."""

    def __init__(self, pattern: str, stretch: int) -> None:
        self.rest = list(reversed(pattern))
        self.stretch = stretch  # repetitions of what may repeat without end
        self.depth = 0

    def peek(self) -> str:
        return self.rest[-1] if self.rest else ""

    def take(self) -> str:
        return self.rest.pop() if self.rest else ""

    def until(self, end: str) -> str:
        """What stands before ``end``, which is taken too."""
        found = ""
        while self.rest and (char := self.take()) != end:
            found += char
        return found

    def alternatives(self) -> str:
        """The first alternative, up to the group's end."""
        self.depth += 1
        if self.depth > 50:
            raise PatternTooLong("a pattern has at most 50 groups in each other")
        first = self.sequence()
        while self.peek() == "|":
            self.take()
            self.sequence()
        self.depth -= 1
        return first

    def sequence(self) -> str:
        """Atoms with their repetitions."""
        text = ""
        while self.rest and self.peek() not in "|)":
            atom = self.atom()
            text += atom * self.repetitions()
            if len(text) > _LIMIT:
                raise PatternTooLong(f"a match has at most {_LIMIT} characters")
        return text

    def atom(self) -> str:
        """One character, class or group."""
        char = self.take()
        if char in "^$":
            return ""
        if char == ".":
            return "a"
        if char == "(":
            return self.group()
        if char == "[":
            return self.members()
        return self.escape() if char == "\\" else char

    def group(self) -> str:
        """A group's match; nothing for a look-around."""
        empty = False
        if self.peek() == "?":
            self.take()
            sign = self.take()
            if sign in "P<" and self.peek() not in "=!":
                self.until(">")
            else:
                empty = sign != ":"
        text = self.alternatives()
        self.take()
        return "" if empty else text

    def escape(self) -> str:
        """What a backslash means outside of a class."""
        char = self.take()
        if char in "bB" or char in "123456789":
            return ""
        if char in "pP":
            self.until("}")
            return "a"
        return self.code(char)

    def code(self, char: str) -> str:
        """An escaped character."""
        if char in "xu":
            braced = self.peek() == "{"
            count = 2 if char == "x" else 4
            digits = self.until("}")[1:] if braced else "".join(self.take() for _ in range(count))
            try:
                found = chr(int(digits, 16))
            except (ValueError, OverflowError):
                return char
            return "?" if "\ud800" <= found <= "\udfff" else found  # half of a character
        return _CLASSES.get(char) or _CONTROL.get(char, char)

    def members(self) -> str:
        """The first member of a class, or a character outside of a negated one."""
        negated = self.peek() == "^"
        if negated:
            self.take()
        found: list[tuple[str, str]] = []
        while self.rest and self.peek() != "]":
            low = self.member()
            high = low
            if self.peek() == "-" and len(self.rest) > 1 and self.rest[-2] != "]":
                self.take()
                high = self.member()
            found.append((low, high))
        self.take()
        if not negated:
            return found[0][0] if found else ""
        free = [c for c in _CANDIDATES if not any(low <= c <= high for low, high in found)]
        return free[0] if free else ""

    def member(self) -> str:
        """One end of a range."""
        char = self.take()
        return self.code(self.take()) if char == "\\" else char

    def repetitions(self) -> int:
        """How often the atom before is written: as rarely as it may."""
        char = self.peek()
        if not char or char not in "*+?{":
            return 1
        self.take()
        low, endless, most = (1 if char == "+" else 0), char in "*+", _LIMIT
        if char == "{":
            least, comma, greatest = self.until("}").partition(",")
            if not least.strip().isdecimal():
                return 1
            low, endless = int(least), bool(comma)
            most = int(greatest) if greatest.strip().isdecimal() else _LIMIT
        if self.peek() and self.peek() in "?+":
            self.take()
        count = min(max(low, self.stretch), most) if endless else low
        if count > _LIMIT:
            raise PatternTooLong(f"a match has at most {_LIMIT} characters")
        return count
