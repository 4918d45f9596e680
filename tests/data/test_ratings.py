import re

import numpy as np
import pytest

from bigmodel.data.ratings import RatingData, load_ratings
from bigmodel.experiment import InputError

COLUMNS = ("user", "item", "rating", "tags", "title")


@pytest.fixture
def written(tmp_path):
    """A CSV file of ratings, and the options to read it."""

    def write(lines, **options):
        path = tmp_path / "ratings.csv"
        path.write_text("\n".join([",".join(COLUMNS), *lines]) + "\n")
        columns = {"user": "user", "item": "item", "rating": "rating", **options}
        return RatingData(path=str(path), **{"batch_size": 4, **columns})

    return write


def table(rows=60, users=7, items=11):
    random = np.random.default_rng(0)
    return [
        f"u{random.integers(users)},i{n % items},{n % 9 / 2},t{n % items % 3}|all,Title {n % items}"
        for n in range(rows)
    ]


def decoded(ratings, part):
    """The ratings of a part as a sorted list of what stood in the file."""
    rows = ratings.parts[part]
    return [
        (ratings.users[user], ratings.items[item], float(target))
        for user, item, target in zip(rows["user"], rows["item"], rows["target"], strict=True)
    ]


def test_the_parts_together_are_the_file(written):
    lines = table()
    ratings = load_ratings(written(lines))
    assert {name: len(rows["target"]) for name, rows in ratings.parts.items()} == {
        "train": 49,
        "validation": 5,
        "test": 6,
    }
    found = [row for name in ratings.parts for row in decoded(ratings, name)]
    expected = [line.split(",")[:3] for line in lines]
    assert sorted(found) == sorted((user, item, float(rating)) for user, item, rating in expected)


def test_folds_test_on_every_rating_once(written):
    lines = table()
    folds = (load_ratings(written(lines, folds=4, fold=fold)) for fold in range(4))
    found = [row for ratings in folds for row in decoded(ratings, "test")]
    expected = [line.split(",")[:3] for line in lines]
    assert sorted(found) == sorted((user, item, float(rating)) for user, item, rating in expected)


def test_the_held_out_ratings_are_drawn_by_the_split_seed_alone(written):
    first, again = (load_ratings(written(table())) for _ in range(2))
    other = load_ratings(written(table(), split_seed=1))
    assert decoded(first, "test") == decoded(again, "test")
    assert decoded(first, "test") != decoded(other, "test")
    assert first.data.fingerprint == again.data.fingerprint != other.data.fingerprint


def test_numbers_of_the_training_part_come_first(written):
    lines = [f"u{n % 5},i{n},{n % 4},a,T" for n in range(40)]
    ratings = load_ratings(written(lines, test=0.2, validation=0.0))
    assert len(ratings.reader.users) == 5
    assert len(ratings.reader.items) == 32
    assert ratings.parts["train"]["item"].max() == 31
    assert sorted(ratings.parts["test"]["item"]) == list(range(32, 40))


def test_tags_and_titles_are_those_of_the_item(written):
    ratings = load_ratings(written(table(), tags="tags", title="title"))
    assert ratings.reader.tags == ("all", "t0", "t1", "t2")
    batches = [ratings.data.train(0, 0), *ratings.data.splits["test"]]
    for batch in batches:
        assert batch["tags"].shape == (4, 4)
        for item, tags, weight in zip(batch["item"], batch["tags"], batch["weight"], strict=True):
            number = int(ratings.items[item][1:])
            has = {name for name, there in zip(ratings.reader.tags, tags, strict=True) if there}
            assert weight == 0 or has == {"all", f"t{number % 3}"}
            assert ratings.reader.titles[item] == f"Title {number}"


def test_an_epoch_has_each_training_rating_at_most_once_and_batches_repeat(written):
    data = load_ratings(written(table(), batch_size=7)).data
    assert data.steps_per_epoch == 7
    steps = [data.train(3, step) for step in range(7)]
    seen = [
        tuple(row) for b in steps for row in zip(b["user"], b["item"], b["target"], strict=True)
    ]
    assert len(seen) == 49
    for step, batch in enumerate(steps):
        again = data.train(3, step)
        assert all((again[name] == batch[name]).all() for name in batch)
    assert any((data.train(4, 0)[name] != steps[0][name]).any() for name in steps[0])


def test_the_mean_is_that_of_the_training_ratings(written):
    ratings = load_ratings(written(table()))
    expected = np.mean([row[2] for row in decoded(ratings, "train")])
    assert ratings.reader.mean == pytest.approx(expected)


@pytest.mark.parametrize(
    ("lines", "options", "message"),
    [
        (["u1,i1,3,a"], {}, r"line 42 has 4 cells, and the header has 5"),
        (["u1,i1,good,a,T"], {}, r"line 42, column 'rating': 'good' is not a finite number"),
        (["u1,i1,,a,T"], {}, r"line 42 has no rating"),
        ([",i1,3,a,T"], {}, r"line 42 has no user"),
        ([], {"item": "itme"}, r"--data.item: .* no column 'itme'; did you mean 'item'"),
        ([], {"tags": "genres"}, r"--data.tags: .* no column 'genres'"),
        ([], {"batch_size": 400}, r"--data.batch-size 400 is larger"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_with_its_line(written, lines, options, message):
    with pytest.raises(InputError, match=message) as refused:
        load_ratings(written([*table(40), *lines], **options))
    assert "\n" not in str(refused.value)


def test_ratings_that_are_all_the_same_are_refused(written):
    lines = [f"u{n % 7},i{n % 11},0.1,a,T" for n in range(60)]
    with pytest.raises(InputError, match=r"all training ratings are 0\.1; there is nothing"):
        load_ratings(written(lines))


@pytest.mark.parametrize(("users", "items", "what"), [(1, 11, "user"), (7, 1, "item")])
def test_ratings_of_a_single_user_or_item_are_refused(written, users, items, what):
    with pytest.raises(InputError, match=f"at least two {what}s"):
        load_ratings(written(table(users=users, items=items)))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"validation": 1.0}, "--data.validation 1.0"),
        ({"test": -0.1}, "--data.test -0.1"),
        ({"split_seed": -1}, "--data.split-seed -1"),
        ({"name": "csv"}, "--data.name csv needs a file"),
        ({"path": "no/such.csv"}, "no/such.csv does not exist"),
    ],
)
def test_options_out_of_range_are_refused(wrong, message):
    with pytest.raises(InputError, match=re.escape(message)):
        load_ratings(RatingData(**wrong))


def test_movielens_is_whole():
    ratings = load_ratings(RatingData())
    assert sum(len(rows["target"]) for rows in ratings.parts.values()) == 100_004
    assert (len(ratings.users), len(ratings.items), len(ratings.reader.tags)) == (671, 9066, 20)
    item = ratings.reader.titles.index("Toy Story")
    tags = {
        tag
        for tag, there in zip(ratings.reader.tags, ratings.reader.tag_table()[item], strict=True)
        if there
    }
    assert tags == {"Adventure", "Animation", "Children", "Comedy", "Fantasy"}
    values = np.unique(np.concatenate([rows["target"] for rows in ratings.parts.values()]))
    np.testing.assert_array_equal(values, np.arange(1, 11) / 2)
