"""What personal data looks like in text: patterns, checksums and words nearby, as data."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from typing import NamedTuple

Check = Callable[[str], int]  # how many characters of what was found are it; 0: it is not

# Characters of an IBAN by country (the registry of ISO 13616).
_IBANS = """
AD:24 AE:23 AL:28 AT:20 AZ:28 BA:20 BE:16 BG:22 BH:22 BR:29 CH:21 CR:22 CY:28 CZ:24 DE:22 DK:18
DO:28 EE:20 EG:29 ES:24 FI:18 FO:18 FR:27 GB:22 GE:22 GI:23 GL:18 GR:27 GT:28 HR:21 HU:28 IE:22
IL:23 IS:26 IT:27 JO:30 KW:30 KZ:20 LB:28 LI:21 LT:20 LU:20 LV:21 MC:27 MD:24 ME:22 MK:19 MR:27
MT:31 MU:30 NL:18 NO:15 PK:24 PL:28 PS:29 PT:25 QA:29 RO:24 RS:22 SA:24 SE:24 SI:19 SK:24 SM:27
TN:24 TR:26 UA:29 VG:24 XK:20
"""
IBAN_LENGTHS = {entry[:2]: int(entry[3:]) for entry in _IBANS.split()}
# Prefix of a payment card's number -> issuer and lengths.
CARDS = (
    (r"4", "Visa", (13, 16, 19)),
    (r"5[1-5]|222[1-9]|22[3-9]|2[3-6]|27[01]|2720", "Mastercard", (16,)),
    (r"3[47]", "American Express", (15,)),
    (r"6011|64[4-9]|65", "Discover", (16, 19)),
    (r"35(2[89]|[3-8])", "JCB", (16,)),
    (r"30[0-5]|3[689]", "Diners Club", (14,)),
)


class Recogniser(NamedTuple):
    """``pattern``'s group 1, or all of it, is the value where ``check`` says so.

    ``near``: one of these words has to stand in the 40 characters before; ``not_near``: none of
    these directly before. ``needs`` is a Rust regular expression that any text with one matches.
    """

    kind: str
    pattern: re.Pattern[str]
    needs: str
    check: Check = len
    near: re.Pattern[str] | None = None
    not_near: re.Pattern[str] | None = None


def iban(text: str) -> int:
    """ISO 7064 MOD 97-10, and the country's length."""
    size = IBAN_LENGTHS.get(text[:2], 0)
    kept = 0
    for end, letter in enumerate(text, 1):
        kept += letter.isalnum()
        if kept == size:
            plain = "".join(one for one in text[:end] if one.isalnum())
            number = "".join(str(int(one, 36)) for one in plain[4:] + plain[:4])
            more = text[end : end + 1].isalnum()
            return end if int(number) % 97 == 1 and not more else 0
    return 0


def issuer(text: str) -> str | None:
    """Who issues a payment card of this number; None where nobody does."""
    number = re.sub(r"\D", "", text)
    for prefix, name, lengths in CARDS:
        if len(number) in lengths and re.match(prefix, number):
            return name
    return None


def card(text: str) -> int:
    """Luhn's checksum (ISO/IEC 7812-1), and an issuer's prefix and length."""
    digits = [int(one) for one in text if one.isdigit()]
    doubled = [one * 2 - 9 * (one > 4) for one in digits[-2::-2]]
    good = (sum(digits[::-2]) + sum(doubled)) % 10 == 0 and len(set(digits)) > 1
    return len(text) if good and issuer(text) else 0


def ssn(text: str) -> int:
    """No area 000, 666 or 900-999, no group 00, no serial 0000 (SSA, randomised since 2011)."""
    digits = re.sub(r"\D", "", text)
    area, group, serial = digits[:3], digits[3:5], digits[5:]
    bad = area in ("000", "666") or area[0] == "9" or group == "00" or serial == "0000"
    return 0 if bad else len(text)


def address(text: str) -> int:
    """An IP address that can belong to somebody: no loopback, multicast, unspecified one."""
    trimmed = text.rstrip(".:") if not text.endswith("::") else text
    try:
        found = ipaddress.ip_address(trimmed)
    except ValueError:
        return 0
    nobody = found.is_loopback or found.is_multicast or found.is_unspecified
    return 0 if nobody else len(trimmed)


def email(text: str) -> int:
    """No two dots in a row, none at the ends of what is before the @."""
    local = text.partition("@")[0]
    return 0 if ".." in text or local.startswith(".") or local.endswith(".") else len(text)


def phone(text: str) -> int:
    """8 to 15 digits (E.164), not all alike."""
    digits = re.sub(r"\D", "", text)
    return len(text) if 8 <= len(digits) <= 15 and len(set(digits)) > 2 else 0


_NAME = r"(?:O'[A-Z][a-z]+|[A-ZÀ-ÖØ-Þ][a-zß-öø-ÿ'’]+|[A-Z]\.)"
_PARTICLES = "(?:(?:van|von|de|der|den|la|du|di) )*"
_NAMES = rf"{_PARTICLES}{_NAME}(?:[ -]{_PARTICLES}{_NAME}){{0,3}}"
_CALLED = re.compile(
    r"\b(tel|phone|telefon|call|mobile?|handy|fax|ruf|reach|text|whatsapp|cell|dial)", re.I
)

# In order of precedence: where two overlap, the earlier one is meant.
RECOGNISERS = (
    Recogniser(
        "email",
        re.compile(
            r"(?<![\w.+@-])[A-Za-z0-9._%+'-]{1,64}@(?:[^\W_](?:[\w-]*[^\W_])?\.)+"
            r"[A-Za-z]{2,24}(?![\w@-])"
        ),
        "@",
        email,
    ),
    Recogniser(
        "iban",
        re.compile(r"(?<![A-Za-z0-9])[A-Z]{2}\d{2}(?:[ -]?[A-Z0-9]){11,35}"),
        r"[A-Z]{2}\d{2}",
        iban,
    ),
    Recogniser(
        "credit_card", re.compile(r"(?<![\w.-])\d(?:[ -]?\d){12,18}(?![\w-])"), r"\d", card
    ),
    Recogniser("us_ssn", re.compile(r"(?<![\w-])\d{3}([- ])\d{2}\1\d{4}(?![\w-])"), r"\d", ssn),
    Recogniser(
        "us_ssn",
        re.compile(r"(?<![\w-])\d{9}(?![\w-])"),
        r"\d",
        ssn,
        near=re.compile(r"\b(ssn|social security)\b", re.I),
    ),
    Recogniser(
        "ip",
        re.compile(r"(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?![\w]|\.\d)"),
        r"\d",
        address,
        not_near=re.compile(
            r"(\b(version|v|release|section|build|chapter|firmware)|§)\s*$", re.I
        ),
    ),
    Recogniser(
        "ip",
        re.compile(r"(?<![\w:.])(?=[0-9A-Fa-f:]*:[0-9A-Fa-f:]*:)[0-9A-Fa-f:]{3,39}(?![\w])"),
        "::|:.*:.*:.*:",
        address,
    ),
    Recogniser(
        "phone",
        re.compile(
            r"(?<![\w+])(?:\+|00)[1-9]\d{0,2}(?:[ ./-]?(?:\(0?\d{1,4}\)|\d{1,6})){2,7}(?!\w)"
        ),
        r"\d",
        phone,
    ),
    Recogniser(
        "phone",
        re.compile(
            r"(?<![\w.(-])(?:1[ -])?(?:\([2-9]\d{2}\) ?|[2-9]\d{2}[-.])\d{3}[-. ]\d{4}(?![\w-])"
        ),
        r"\d",
        phone,
    ),
    Recogniser(
        "phone",
        re.compile(r"(?<![\w.-])0\d{1,5}(?:[ /-]?\d{1,8}){1,4}(?![\w-])"),
        r"\d",
        phone,
        near=_CALLED,
    ),
    Recogniser(
        "name",
        re.compile(rf"\b(?:Mr|Mrs|Ms|Miss|Dr|Prof|Herr|Herrn|Frau|Mme|Sir|Madam)\.? ({_NAMES})"),
        "Mr|Ms|Miss|Dr|Prof|Herr|Frau|Mme|Sir|Madam",
    ),
    Recogniser(
        "name",
        re.compile(
            r"\b(?:[Nn]ame is|[Nn]ame:|I am called|named|[Ss]igned by|[Pp]atient:?|[Cc]ustomer:"
            rf"|heiße|heisse|Regards,|regards,|Dear) ({_NAMES})"
        ),
        "ame|called|igned|atient|ustomer|hei|egards|Dear",
    ),
)  # fmt: skip
_ADDRESSED = """
Sir Madam Customer Team All Support Friend Friends Colleague Colleagues Hiring Manager Sirs Guest
User Users Member Members Diary Valued
"""
NO_NAMES = frozenset(_ADDRESSED.split())
