"""Sentences with personal data, and with what merely looks like it; how many of each are found.

python tests/data/personal/personal_examples.py
"""

import argparse
import random
import sys
from collections.abc import Callable, Sequence
from typing import NamedTuple

from bigmodel.data.personal.masking import Mask
from bigmodel.data.personal.patterns import LENGTHS, is_luhn

NAMES = ("Ada Lovelace", "José O'Neill", "Łukasz Żak", "Ngozi", "Jean-Luc Picard", "李小龙")
WORDS = "the order was sent to our office and paid on time by them so please wait for it".split()  # noqa: SIM905
RNG = random.Random(0)


def digits(shape: str) -> str:
    """The shape with a digit for each ``#`` and one from 2 to 9 for each ``N``."""
    return "".join(
        str(RNG.randrange(10)) if c == "#" else str(RNG.randrange(2, 10)) if c == "N" else c
        for c in shape
    )


def email() -> str:
    user = RNG.choice(["jo", "j.doe", "jane_doe+news", "o'hara", "müller", "x-1"])
    host = RNG.choice(["example.com", "mail.example.co.uk", "bücher.example", "a-b.museum"])
    return f"{user}{RNG.randrange(99)}@{host}"


def account() -> str:
    country = RNG.choice(["DE", "FR", "GB", "NL", "NO", "CH", "MT"])
    letters = "" if country in ("DE", "NO") else "ABCX"
    rest = "".join(RNG.choice("0123456789" + letters) for _ in range(LENGTHS[country] - 4))
    number = int("".join(str(int(c, 36)) for c in f"{rest}{country}00"))
    whole = f"{country}{98 - number % 97:02d}{rest}"
    parts = [whole[at : at + 4] for at in range(0, len(whole), 4)]
    return RNG.choice(["", " "]).join(parts)


def card(*, right: bool = True) -> str:
    fours = (4, 4, 4, 4)
    issuers = [("4" + "#" * 15, fours), ("51" + "#" * 14, fours), ("37" + "#" * 13, (4, 6, 5))]
    shape, sizes = RNG.choice(issuers)
    while is_luhn(number := digits(shape)) != right:
        pass
    parts, at = [], 0
    for size in sizes:
        parts.append(number[at : at + size])
        at += size
    return RNG.choice(["", " ", "-"]).join(parts)


def ip() -> str:
    four = ".".join(str(RNG.randrange(256)) for _ in range(4))
    six = f"2001:db8::{RNG.randrange(1, 1 << 16):x}:{RNG.randrange(1, 1 << 16):x}"
    return RNG.choice([four, f"{four}:8080", six])


def phone() -> str:
    return digits(RNG.choice([
        "+49 30 1#######", "+1 (N##) N##-####", "+44 20 7### ####", "+33 6 ## ## ## ##",
        "+4917########", "0049 89 1######", "(N##) N##-####", "N##-N##-####", "N##.N##.####",
        "1-N##-N##-####", "030 1######", "0171/1######", "(040) 12 ## ## #", "01 N# ## ## ##",
        "03-N###-####", "+91 9#### #####", "+86 13# #### ####", "(11) 9####-####",
        "tel. N######", "Phone: N#########", "Fax no. N######",
    ]))  # fmt: skip


def name() -> str:
    chosen = RNG.choice(NAMES)
    return RNG.choice([chosen, chosen.upper(), chosen.replace(" ", "\n")])


FOUND: dict[str, Callable[[], str]] = {
    "email": email, "account": account, "card": card, "ip": ip, "phone": phone, "name": name
}  # fmt: skip
ALIKE: dict[str, Callable[[], str]] = {
    "version": lambda: f"version {digits('#.#.##.#')}",
    "release": lambda: digits("v#.##.#.##"),
    "short version": lambda: digits("#.##.#"),
    "date": lambda: RNG.choice(["2024-02-1", "12.03.201", "03/04/201", "01-02-202"]) + digits("#"),
    "time": lambda: digits("2021-03-0N 1#:2#:3#"),
    "hours": lambda: "08.30-16.00",
    "price": lambda: digits(RNG.choice(["$N,###.##", "€ N.###,##", "N## ### EUR", "N,###,###.##"])),
    "decimal": lambda: digits(RNG.choice(["-0.########", "+N.#######", "N#.##########"])),
    "order": lambda: digits(RNG.choice(["No. N#######", "order 2023-00####", "#A-N#####"])),
    "isbn": lambda: digits("ISBN 978-3-16-######-#"),
    "years": lambda: "2019 2020 2021 2022",
    "code": lambda: RNG.choice(["a @ b.T", "A@B.dot(c)", "@property", "x[1::2]", "a::b"]),
    "uuid": lambda: "550e8400-e29b-41d4-a716-44665544" + digits("####"),
    "card with another digit": lambda: card(right=False),
    "account with another digit": lambda: "DE88370400440532013000",
    "number": lambda: digits("N" + "#" * RNG.randrange(3, 14)),
    "part of a name": lambda: RNG.choice(["Ada", "Adaptation", "Ngozika", "Lovelaces"]),
    "journal": lambda: digits("Nature (2015) N##, 4##-5##"),
}  # fmt: skip


class Share(NamedTuple):
    """Of the places found, how many are right; of those that there are, how many are found."""

    precision: float
    recall: float


def shares(count: int = 200) -> tuple[dict[str, Share], dict[str, float]]:
    """Of each kind, and how many of a hundred things that look alike were replaced."""
    right, wrong = dict.fromkeys(FOUND, 0), dict.fromkeys(FOUND, 0)
    mistaken = {}
    for kind, make in [*FOUND.items(), *ALIKE.items()]:
        replaced = 0
        for _ in range(count):
            before, after = (" ".join(RNG.sample(WORDS, 4)) for _ in range(2))
            item = make()
            mask = Mask(NAMES)
            masked = mask(f"{before} {item}, {after}")
            found = {each for each, number in mask.counts.items() if number}
            replaced += bool(found)
            left = masked.removeprefix(before).removesuffix(after)
            exact = not any(c.isdigit() for c in left.replace(":8080", "")) and "@" not in left
            right_now = kind in found and exact
            if kind in FOUND:
                right[kind] += right_now
                found -= {kind}
            for each in found:
                wrong[each] += 1
        if kind in ALIKE:
            mistaken[kind] = replaced / count
    return {
        kind: Share(right[kind] / max(right[kind] + wrong[kind], 1), right[kind] / count)
        for kind in FOUND
    }, mistaken


def read_options(arguments: Sequence[str]) -> argparse.Namespace:
    """How many sentences with each kind."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sentences", type=int, default=1000, help="with each kind")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    by_kind, looks = shares(read_options(sys.argv[1:]).sentences)
    for kind, (precision, recall) in by_kind.items():
        print(f"{kind:8} precision {precision:.3f} recall {recall:.3f}")
    print({kind: share for kind, share in looks.items() if share})
