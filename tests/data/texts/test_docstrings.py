"""Docstrings as texts and their summaries."""

from bigmodel.data.python_code.docstrings import pairs_of

SOURCE = '''"""Says what the module does, in one line."""
TEXT = """Not a docstring at all, it is a value.

words words words words words words words words words words words words words words words words
words words words words words"""


def area(radius):
    r"""Return the area of a circle
    of that radius.

    Parameters
    ----------
    radius : float
        The distance from its centre, which has to be no less than zero, and is in the units of
        whatever the area is wanted in.
    """


def short():
    """Return nothing at all here."""


def code():
    """x = y + 1

    words words words words words words words words words words words words words words words words
    words words words words words
    """
'''


def test_a_docstring_is_its_summary_and_what_follows(tmp_path):
    path = tmp_path / "module.py"
    path.write_text(SOURCE)
    ((summary, rest),) = pairs_of(path)
    assert summary == "Return the area of a circle of that radius."
    assert rest.startswith("Parameters radius : float The distance from its centre, which")
    assert "--" not in rest
