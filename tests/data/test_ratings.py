import numpy as np
import pytest

from bigmodel.data.ratings import RatingData, load_ratings

COLUMNS = ("user", "item", "rating", "tags", "title")


@pytest.fixture
def written(write):
    """A CSV file of ratings, and the options to read it."""

    def written(lines, **options):
        named = {"user": "user", "item": "item", "rating": "rating", "batch_size": 4}
        path = write([",".join(COLUMNS), *lines])
        return RatingData(**{"path": path, **named, **options})

    return written


def table(rows=60, users=7, items=11):
    random = np.random.default_rng(0)
    return [
        f"u{random.integers(users)},i{n % items},{n % 9 / 2},t{n % items % 3}|all,Title {n % items}"
        for n in range(rows)
    ]


def decoded(ratings, *parts):
    """The ratings of parts as a sorted list of what stood in the file."""
    return sorted(
        (ratings.users[user], ratings.items[item], float(target))
        for rows in map(ratings.parts.get, parts)
        for user, item, target in zip(rows["user"], rows["item"], rows["target"], strict=True)
    )


def told(lines):
    cells = (line.split(",") for line in lines)
    return sorted((user, item, float(rating)) for user, item, rating, *_ in cells)


def test_the_parts_together_are_the_file(written):
    ratings = load_ratings(written(table()))
    sizes = {name: len(rows["target"]) for name, rows in ratings.parts.items()}
    assert sizes == {"train": 49, "validation": 5, "test": 6}
    assert decoded(ratings, *sizes) == told(table())


def test_folds_test_on_every_rating_once(written):
    folds = (load_ratings(written(table(), folds=4, fold=fold)) for fold in range(4))
    found = [row for ratings in folds for row in decoded(ratings, "test")]
    assert sorted(found) == told(table())


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
        (["u1,i1,-1e50,a,T"], {}, r"line 42: the rating -1e\+50 is larger than 1e\+15; correct"),
        ([",i1,3,a,T"], {}, r"line 42 has no user"),
        ([], {"item": "itme"}, r"--data.item: .* no column 'itme'; did you mean 'item'"),
        ([], {"tags": "genres"}, r"--data.tags: .* no column 'genres'"),
    ],
)
def test_a_line_or_column_that_cannot_be_used_is_named(written, lines, options, message, refused):
    with refused(message):
        load_ratings(written([*table(40), *lines], **options))


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (table(users=1), "at least two users"),
        (table(items=1), "at least two items"),
        ([f"u{n % 7},i{n % 11},0.1,a,T" for n in range(60)], r"are 0\.1; there is nothing"),
    ],
)
def test_ratings_without_differences_to_learn_are_refused(written, lines, message, refused):
    with refused(message):
        load_ratings(written(lines))


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
