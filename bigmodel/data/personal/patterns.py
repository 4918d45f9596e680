"""Where a text has e-mail addresses, telephone, card and account numbers, and IP addresses.

By patterns and checksums of our own. Presidio and scrubadub bring a model of a language or
scikit-learn with them; ``phonenumbers``, which is well kept, looks through 60 kB of text a second
and knows national numbers only with their country. What `personal_examples.py` among the tests
generates, with what merely looks alike, measures precision and recall.

No match has a line end, a tab, a comma, a semicolon or a pipe in it, so that lines stay lines and
cells cells. Each pattern begins with a set of characters and looks back after the first one, for
then Python's engine skips quickly whatever else there is.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Literal, TypeAlias

Kind: TypeAlias = Literal["email", "account", "card", "ip", "phone", "name"]
Span: TypeAlias = tuple[int, int]

END = r"(?!\w|-\w|\.[0-9])"
"""What stands behind a number is not part of a longer one."""

LONGEST_LOCAL = 64
"""Characters before the @ of an e-mail address (RFC 5321)."""
LOCAL = re.compile(r"[\w%+-](?:[\w.%+'-]*[\w%+-])?\Z")
DOMAIN = re.compile(
    r"(?:[^\W_](?:[\w-]{0,61}[^\W_])?\.)+(?:xn--[a-z0-9-]+|[^\W\d_]{2,24})(?![\w(])", re.IGNORECASE
)

CARD = re.compile(
    r"[2-6](?<![\w.-][0-9])(?:[0-9]{11,18}"
    r"|[0-9]{3}(?P<s>[ -])[0-9]{4}(?P=s)[0-9]{4}(?:(?P=s)[0-9]{4})?(?P=s)[0-9]{1,4}"
    rf"|[0-9]{{3}}(?P<a>[ -])[0-9]{{6}}(?P=a)[0-9]{{4,5}}){END}"
)
ISSUERS = re.compile(
    r"4(?:\d{12}|\d{15}|\d{18})|5[1-5]\d{14}|2(?:22[1-9]|2[3-9]\d|[3-6]\d\d|7[01]\d|720)\d{12}"
    r"|3[47]\d{13}|3(?:0[0-5]|[689]\d)\d{11,16}|35(?:2[89]|[3-8]\d)\d{12}"
    r"|6(?:011|5\d\d|4[4-9]\d|2\d\d)\d{12,15}|(?:50|5[6-8]|6[37])\d{10,17}"
)
"""First digits and lengths: Visa, Mastercard, American Express, Diners, JCB, Discover, Maestro."""

ACCOUNT = re.compile(r"[A-Z](?<![\w-][A-Z])[A-Z][0-9]{2}(?:[ -]?[A-Z0-9]){11,}")
REGISTRY = (
    "AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BI27 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DJ27 "
    "DK18 DO28 EE20 EG29 ES24 FI18 FK18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HN28 HR21 HU28 "
    "IE22 IL23 IQ23 IS26 IT27 JO30 KW30 KZ20 LB28 LC32 LI21 LT20 LU20 LV21 LY25 MC27 MD24 ME22 "
    "MK19 MN20 MR27 MT31 MU30 NI28 NL18 NO15 OM23 PK24 PL28 PS29 PT25 QA29 RO24 RS22 RU33 SA24 "
    "SC31 SD18 SE24 SI19 SK24 SM27 SO23 ST25 SV28 TL23 TN24 TR26 UA29 VA22 VG24 XK20 YE30"
)
LENGTHS = {each[:2]: int(each[2:]) for each in REGISTRY.split()}
"""Characters of an IBAN, by its country (the registry of ISO 13616)."""

OCTET = r"(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
IP = re.compile(
    rf"[0-9](?<![\w.][0-9])[0-9]{{0,2}}(?:\.{OCTET}){{3}}(?!\w|\.[0-9])",
)
IP6 = re.compile(r"[0-9A-Fa-f:]{2,39}(?:\.[0-9]{1,3}){0,3}(?![\w:])")
IN_IP6 = re.compile(":[0-9A-Fa-f]{0,4}:")
VERSION = re.compile(
    r"(?:\b(?:version|release|revision|rev|ver|firmware|build|section|chapter|clause|v)|§)"
    r"[\s.:=]*\Z",
    re.IGNORECASE,
)
"""What stands before four numbers that are no address."""

GAP = r"(?>[ .-]?[(/][ ]?|\)[ ./-]?|[ .-])"
"""Between digits of a telephone number."""
INTERNATIONAL = rf"(?:{GAP}?+[0-9]){{7,14}}{END}"
PHONES = tuple(
    map(
        re.compile,
        (
            # +49 (0)30 1234-567 and 0049 30 1234567, of up to 15 digits (E.164)
            rf"\+(?<![\w+]\+)[1-9]{INTERNATIONAL}",
            rf"0(?<![\w.-]0)0[1-9][0-9]{{0,2}}{GAP}{INTERNATIONAL}",
            # (212) 555-0123, 212.555.0123 and 1-212-555-0123
            r"[(1-9](?<![\w.+/-].)(?:(?<=1)[ .-]\(?[2-9]|(?<=\()[2-9]|(?<=[2-9]))[0-9]{2}"
            rf"(?:\)[ ]?|(?P<s>[ .-]))[2-9][0-9]{{2}}(?(s)(?P=s)|[ .-])[0-9]{{4}}{END}",
            # 030 1234567, 0170/1234567, 01 23 45 67 89, and 131 2345 6789; no seconds of a time
            rf"0(?<![\w.+/-]0)(?<![0-9]:0)[1-9][0-9]{{0,4}}{GAP}(?:{GAP}?+[0-9]){{5,9}}{END}",
            rf"1(?<![\w.+/-]1)[3-9][0-9](?P<s>[ -])[0-9]{{4}}(?P=s)[0-9]{{4}}{END}",
            # (030) 12 34 56 and (11) 2345-6789, where the first is no year
            rf"\((?<!\w\()(?!(?:19|20)[0-9]{{2}}\))0?[1-9][0-9]{{0,4}}\)[ -]?"
            rf"(?:{GAP}?+[0-9]){{5,9}}{END}",
        ),
    )
)
FEWEST_DIGITS = 9
"""Of a telephone number in groups; the hours 08.30-16.00 have eight."""
NO_PHONE = re.compile(
    r"\d{1,2}(?P<d>[./ -])\d{1,2}(?P=d)(?:(?:19|20)\d\d|\d\d)(?![0-9]|(?P=d)[0-9])"
    r"|(?:19|20)\d\d(?P<y>[./-])\d{1,2}(?P=y)\d{1,2}(?!\d)|\+?\d+\.\d+\Z"
)
"""Dates, and numbers with a decimal point."""
DIGITS = re.compile(rf"[0-9](?<=[ .:#][0-9])(?:[ ./-]?[0-9]){{6,14}}{END}")
CALLED = re.compile(
    r"\b(?:t[eé]l(?:[eé](?:ph|f)[oó]n[eo]?)?|phone|mobile?|m[oó]vil|cell|fax|handy)"
    r"(?: ?(?:number|nummer|no|nr))? ?[.:#]{0,2} ?\Z",
    re.IGNORECASE,
)
"""A word for a telephone, before digits of any form."""
BEFORE = 32
"""Characters in which such a word is looked for."""


def emails(text: str) -> Iterator[Span]:
    """E-mail addresses: what may stand before an @, and a domain of two parts or more."""
    at = text.find("@")
    while at >= 0:
        local = LOCAL.search(text, max(0, at - LONGEST_LOCAL), at)
        domain = DOMAIN.match(text, at + 1)
        if local and domain:
            yield local.start(), domain.end()
        at = text.find("@", at + 1)


def accounts(text: str) -> Iterator[Span]:
    """IBANs: of a known country and its length, and right by their check digits (ISO 7064)."""
    for found in ACCOUNT.finditer(text):
        length = LENGTHS.get(found[0][:2], 0)
        ends = [at for at, character in enumerate(found[0], start=1) if character not in " -"]
        if not 0 < length <= len(ends):
            continue
        end = ends[length - 1]
        compact = re.sub("[ -]", "", found[0][:end])
        if text[found.start() + end :][:1].isalnum():
            continue
        if int("".join(str(int(each, 36)) for each in compact[4:] + compact[:4])) % 97 == 1:
            yield found.start(), found.start() + end


def cards(text: str) -> Iterator[Span]:
    """Card numbers: of a known issuer, grouped as on cards or not at all, and right by Luhn."""
    for found in CARD.finditer(text):
        digits = re.sub("[ -]", "", found[0])
        if ISSUERS.fullmatch(digits) and is_luhn(digits):
            yield found.span()


def is_luhn(digits: str) -> bool:
    """Whether the last digit is the check digit of ISO/IEC 7812."""
    doubled = [int(digit) * 2 for digit in digits[-2::-2]]
    total = sum(map(int, digits[::-2])) + sum(each - 9 * (each > 9) for each in doubled)
    return total % 10 == 0


def addresses(text: str) -> Iterator[Span]:
    """IP addresses of versions 4 and 6; four numbers behind a word for a version are none."""
    for found in IP.finditer(text):
        start, first = found.start(), found[0].partition(".")[0]
        told = VERSION.search(text, max(0, start - BEFORE), start)
        if not told and int(first) < 256 and str(int(first)) == first:
            yield found.span()
    end = 0
    for seed in IN_IP6.finditer(text):
        start = seed.start()
        while start > end and text[start - 1] in "0123456789abcdefABCDEF":
            start -= 1
        whole = IP6.match(text, start)
        if whole is None or start < end or text[start - 1 : start].isalnum():
            continue
        written = whole[0] if whole[0].endswith("::") else whole[0].rstrip(":")
        # x[1::2] and a::b of programs are written alike.
        long = max(map(len, written.split(":"))) > 2 and re.search("[0-9]", written)
        if long and _is_ip6(written):
            end = start + len(written)
            yield start, end


def _is_ip6(written: str) -> bool:
    try:
        return bool(ipaddress.IPv6Address(written).packed)
    except ValueError:
        return False


def phones(text: str) -> Iterator[Span]:
    """Telephone numbers.

    International ones; national ones whose digits are in groups; any behind a word for one.
    """
    for pattern in PHONES:
        for found in pattern.finditer(text):
            opened = found[0][0] == "(" and ")" not in found[0]
            enough = sum(map(str.isdigit, found[0])) >= FEWEST_DIGITS or found[0][0] == "+"
            if enough and not NO_PHONE.match(found[0].lstrip("(")):
                yield found.start() + opened, found.end()
    for found in DIGITS.finditer(text):
        if CALLED.search(text, max(0, found.start() - BEFORE), found.start()):
            yield found.span()


FINDERS: Mapping[Kind, Callable[[str], Iterator[Span]]] = {
    "email": emails,
    "account": accounts,
    "card": cards,
    "ip": addresses,
    "phone": phones,
}
"""Of what two of these find in one place, the first is told."""
