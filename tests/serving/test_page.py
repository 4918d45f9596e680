"""The page in a real browser."""

from collections.abc import Iterator
from typing import Any

import pytest
from browser import Browser, browser
from served import Served, serving

from bigmodel.serving.access import with_token
from bigmodel.serving.application import Limits

SHOWN = "return document.querySelector('#answer .main')?.textContent"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser(tmp_path_factory.mktemp("profile")) as session:
        yield session


@pytest.fixture(autouse=True)
def _no_errors(page: Browser) -> Iterator[None]:
    """Nothing fails in the console, and nothing is fetched from elsewhere."""
    yield
    assert page.errors() == []
    fetched = page.run("return performance.getEntriesByType('resource').map((one) => one.name)")
    assert {name.rpartition("/")[2] for name in fetched} <= {"predict", ""}


def test_a_digit_is_drawn_and_a_sample_is_tried(images: Served, page: Browser) -> None:
    page.open(f"http://127.0.0.1:{images.port}/")
    page.click("#sample")
    shown = page.wait(SHOWN)
    assert page.run("return about.samples.includes(input.get())")
    best = images.run.predict([page.run("return input.get()")])[0]
    assert shown == best["class"]
    names = page.run(
        "return [...document.querySelectorAll('.bars span:nth-child(3n+1)')]"
        ".map((one) => one.textContent)"
    )
    assert names == [*best["probabilities"]]
    page.run("document.querySelector('#answer').replaceChildren()")
    page.click(".buttons button:nth-child(3)")
    page.draw("canvas", [(10, -90), (0, 0), (-10, 90)])
    drawn = page.wait(SHOWN)
    picture = page.run("return input.get()")
    assert picture.startswith("data:image/png;base64,")
    (answer,) = images.ask({"inputs": [picture]}).value["predictions"]
    assert drawn == answer["class"]


def test_a_file_is_dropped(images: Served, page: Browser) -> None:
    page.open(f"http://127.0.0.1:{images.port}/")
    page.run(
        "const files = new DataTransfer();"
        "files.items.add(new File(['no image'], 'a.png', { type: 'image/png' }));"
        "document.querySelector('#input').dispatchEvent("
        "new DragEvent('drop', { dataTransfer: files, cancelable: true }));"
    )
    assert "is no image" in page.wait("return document.querySelector('.error')?.textContent")
    # The browser itself says that the status was no good one.
    assert all("422" in line or "data:" in line for line in page.errors())


def test_a_row_is_filled_in(rows: Served, page: Browser) -> None:
    page.open(f"http://127.0.0.1:{rows.port}/")
    page.write("[name=age]", "80")
    page.write("[name=sex]", "neither")
    page.click(".first")
    shown = page.wait(SHOWN)
    row = page.run("return input.get()")
    assert row["age"] == 80
    assert row["sex"] == "neither"
    assert shown == rows.run.predict([row])[0]["class"]
    assert "never saw" in page.run("return document.querySelector('.warning').textContent")


def test_with_a_token_the_page_is_as_without_and_a_tab_keeps_it(
    images: Served, page: Browser
) -> None:
    def guarded(app: Any) -> Any:
        return with_token(app, "a-token")

    with serving(images.run, Limits(batch_size=1), guarded) as served:
        page.open(f"http://127.0.0.1:{served.port}/")
        page.write("#token", "wrong")
        page.click("button")
        page.wait("return document.querySelector('p').textContent.includes('not its token')")
        assert "about" not in page.run("return document.body.innerHTML")
        page.write("#token", "a-token")
        page.click("button")
        page.wait("return document.querySelector('#sample')")
        page.click("#sample")
        assert page.wait(SHOWN) == images.run.predict([page.run("return input.get()")])[0]["class"]
        page.open(f"http://127.0.0.1:{served.port}/")
        page.wait("return document.querySelector('#sample')")
    # The browser itself says that the statuses were no good ones.
    assert [line for line in page.errors() if "401" not in line] == []
