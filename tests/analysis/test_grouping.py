"""Groups are made of any column, and a column that is not there is named."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from bigmodel.analysis.fairness.grouping import Grouping, make_groups
from bigmodel.data.lookup import lookup
from bigmodel.experiment import InputError

AGES = np.array([17, 20, 30, 40, 50, 60, 70, 80, 90, 91, 92, np.nan])
COLUMNS = {
    "sex": np.array(["f", "m", ""] * 4, object),
    "age": AGES,
    "size": np.array([2.0, 10.0, 2.0] * 4),
    "path": np.array([f"cat/{n}.png" for n in range(12)], object),
    "line": np.arange(12.0),
    "site": np.array([1000001.0, 1000002.0, 1000003.0] * 4),
    "place": np.arange(12.0) / 8 - 1000000,
    "single": np.array([-0.0, 0.1, 0.3] * 4, np.float32),
    "constant": np.full(12, np.nan),
}
column = lookup("people.csv", tuple(COLUMNS), lambda _, name: COLUMNS[name])


def groups(*names: str, **options: object) -> dict[str, list[int]]:
    """The rows of each group."""
    found = make_groups(Grouping(names, **options), column, "test")
    assert set(found.number) == set(range(len(found.names)))
    return {
        name: np.flatnonzero(found.number == at).tolist() for at, name in enumerate(found.names)
    }


@pytest.mark.parametrize(
    ("names", "options", "expected"),
    [
        (["sex"], {}, {"f": [0, 3, 6, 9], "m": [1, 4, 7, 10], "(missing)": [2, 5, 8, 11]}),
        (["size"], {}, {"2": [0, 2, 3, 5, 6, 8, 9, 11], "10": [1, 4, 7, 10]}),
        (["age"], {"bins": 2}, {"17 to 50": [0, 1, 2, 3, 4], "60 to 92": [5, 6, 7, 8, 9, 10],
                                "(missing)": [11]}),
        (["age"], {"edges": (65, 18)}, {"below 18": [0], "18 to below 65": [1, 2, 3, 4, 5],
                                        "65 and more": [6, 7, 8, 9, 10], "(missing)": [11]}),
        (["site"], {}, {"1000001": [0, 3, 6, 9], "1000002": [1, 4, 7, 10],
                        "1000003": [2, 5, 8, 11]}),
        (["site"], {"edges": (1000002.5,)}, {"below 1000002.5": [0, 1, 3, 4, 6, 7, 9, 10],
                                             "1000002.5 and more": [2, 5, 8, 11]}),
        (["place"], {"bins": 2}, {"-1000000 to -999999.375": [0, 1, 2, 3, 4, 5],
                                  "-999999.25 to -999998.625": [6, 7, 8, 9, 10, 11]}),
        (["single"], {}, {"0": [0, 3, 6, 9], "0.1": [1, 4, 7, 10], "0.3": [2, 5, 8, 11]}),
        (["constant"], {}, {"(missing)": list(range(12))}),
        (["size"], {"edges": (5,)}, {"below 5": [0, 2, 3, 5, 6, 8, 9, 11],
                                     "5 and more": [1, 4, 7, 10]}),
        (["size", "age"], {"edges": (60,)},
         {"2 · below 60": [0, 2, 3], "2 · 60 and more": [5, 6, 8, 9], "2 · (missing)": [11],
          "10 · below 60": [1, 4], "10 · 60 and more": [7, 10]}),
    ],
)  # fmt: skip
def test_values_are_grouped(
    names: Sequence[str], options: dict[str, object], expected: dict[str, list[int]]
) -> None:
    assert groups(*names, **options) == expected
    assert list(groups(*names, **options)) == list(expected)


@pytest.mark.parametrize(
    ("key", "names", "expected"),
    [
        ("path", ["site"], {"north": [0, 3], "south": [1], "(missing)": [2, *range(4, 12)]}),
        ("path", [], {"north · 5": [0], "north · 50": [3], "south · 5": [1],
                      "(missing) · (missing)": [2, *range(4, 12)]}),
        ("line", ["dose"], {"5": [0, 1], "50": [3], "(missing)": [2, *range(4, 12)]}),
    ],
)  # fmt: skip
def test_a_list_says_what_the_data_do_not(
    tmp_path: Path, key: str, names: Sequence[str], expected: dict[str, list[int]]
) -> None:
    rows = [(0, "north", 5), (1, "south", 5), (3, "north", 50), (99, "south", 5)]
    keys = {"path": "cat/{}.png", "line": "{}"}
    path = tmp_path / "groups.csv"
    lines = [f"{keys[key].format(at)},{site},{dose}" for at, site, dose in rows]
    path.write_text("\n".join([f"{key},site,dose", *lines]))
    assert groups(*names, listed=path) == expected


@pytest.mark.parametrize(
    ("names", "content", "message"),
    [
        (["sexe"], None, "--by: people.csv has no column 'sexe'; did you mean 'sex'"),
        (["path", "line"], None, None),
        (["site"], "pth,site\na,b", "people.csv has no column 'pth'; did you mean 'path'"),
        (["sight"], "path,site\ncat/1.png,b", "has no column 'sight'; did you mean 'site'"),
        (["site"], "path,site\ncat/1.png,b\ncat/1.png,c", "has two rows for 'cat/1.png'"),
        (["site"], "path,site\n1.png,b", "is such as '1.png', and that of the data such as 'cat/0"),
    ],
)
def test_what_makes_no_groups_is_refused(
    tmp_path: Path, names: Sequence[str], content: str | None, message: str | None
) -> None:
    listed = None
    if content is not None:
        listed = tmp_path / "groups.csv"
        listed.write_text(content)
    if message is None:
        assert len(groups(*names)) == 12
        return
    with pytest.raises(InputError, match=message.replace("(", r"\(")):
        groups(*names, listed=listed)


def test_a_column_of_names_is_no_grouping() -> None:
    many = lookup("t", ("id",), lambda *_: np.array([f"a{n}" for n in range(101)], object))
    with pytest.raises(InputError, match="--by id has 101 different values"):
        make_groups(Grouping(("id",)), many, "test")


@pytest.mark.parametrize(
    ("names", "edges", "message"),
    [
        (["age"], (18, 16), None),
        (["size"], (18, 65), "--edges do not divide 'size', whose values are 2 to 10"),
        (["size", "age"], (5,), "--edges do not divide 'age', whose values are 17 to 92"),
        (["sex"], (18,), "--edges divide nothing: sex are texts or few numbers"),
        (["sex", "size"], (5,), "--edges divide nothing: sex and size are texts or few numbers"),
    ],
)
def test_edges_that_divide_nothing_are_refused(
    names: Sequence[str], edges: tuple[float, ...], message: str | None
) -> None:
    if message is None:
        assert list(groups(*names, edges=edges)) == ["16 to below 18", "18 and more", "(missing)"]
        return
    with pytest.raises(InputError, match=message):
        groups(*names, edges=edges)
