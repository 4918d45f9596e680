"""The files of a report in the folder of its study."""

from __future__ import annotations

from pathlib import Path

from bigmodel.files import write_atomically
from bigmodel.studies.reporting.content import Report
from bigmodel.studies.reporting.drawings import draw_all_curves, draw_effects, draw_means
from bigmodel.studies.reporting.page import page
from bigmodel.studies.reporting.rows import results_csv
from bigmodel.studies.reporting.text import latex, markdown


def write_report(path: Path, report: Report) -> list[str]:
    """Writes all of it, in the place of an earlier report, and gives the names.

    Raises:
        StorageError: where a file cannot be written.
    """
    means, effects, curves = draw_means(report), draw_effects(report), [*draw_all_curves(report)]
    drawings = [drawing for drawing in (means, effects, *curves) if drawing is not None]
    texts = {
        "report.html": page(report, means=means, effects=effects, curves=curves),
        "results.csv": results_csv(report),
        "results.md": markdown(report),
        "results.tex": latex(report),
    }
    files = {name: text.encode() for name, text in texts.items()}
    files |= {f"figures/{drawing.name}.png": drawing.png for drawing in drawings}
    for earlier in (path / "figures").glob("*.png"):
        if f"figures/{earlier.name}" not in files:
            earlier.unlink()
    for name, content in files.items():
        write_atomically(path / name, content)
    return [*texts, f"figures/ ({len(drawings)} pictures)"]
