"""The style sheet of a report's page, and the script that sorts its tables."""

STYLE = """
:root { color-scheme: light dark; --ink: #1c2024; --soft: #5c6670; --paper: #ffffff;
  --panel: #f5f6f8; --line: #d9dde2; --note: #fff6dd; --edge: #e0a800; --mark: #e8f1fb; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e8ea; --soft: #9aa4ae; --paper: #15181b;
  --panel: #1d2125; --line: #343a41; --note: #2d2715; --edge: #b98d12; --mark: #182838; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 15px/1.5 system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
main { max-width: 1500px; margin: 0 auto; padding: 1.5rem clamp(0.8rem, 3vw, 2.5rem) 4rem; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0 0 1rem; overflow-wrap: anywhere; }
h2 { font-size: 1.15rem; margin: 2.2rem 0 0.7rem; }
aside { background: var(--note); border-left: 4px solid var(--edge); padding: 0.6rem 1rem;
  margin: 0 0 1.2rem; overflow-wrap: anywhere; }
aside ul { margin: 0.2rem 0 0; padding-left: 1.2rem; }
dl { display: grid; grid-template-columns: max-content minmax(0, 1fr); gap: 0.2rem 1.2rem;
  margin: 0; max-width: 70rem; }
dt { color: var(--soft); }
dd { margin: 0; overflow-wrap: anywhere; }
.scroll { overflow: auto; max-height: 42rem; border: 1px solid var(--line); border-radius: 6px; }
table { border-collapse: separate; border-spacing: 0; width: 100%; font-size: 0.85rem;
  font-variant-numeric: tabular-nums; }
th, td { padding: 0.3rem 0.55rem; text-align: right; white-space: nowrap;
  border-bottom: 1px solid var(--line); }
tbody tr:last-child td { border-bottom: 0; }
th { position: sticky; top: 0; background: var(--panel); vertical-align: bottom;
  white-space: normal; }
th button { all: unset; cursor: pointer; font-weight: 600; }
th button:hover, th button:focus-visible { text-decoration: underline; }
th[aria-sort=ascending] button::after { content: " \\2191"; }
th[aria-sort=descending] button::after { content: " \\2193"; }
.words { text-align: left; }
td div { width: max-content; max-width: 22rem; white-space: normal; overflow-wrap: anywhere; }
tr.baseline td { background: var(--mark); }
figure { margin: 1.2rem 0 0; overflow-x: auto; }
figure svg { display: block; width: 100%; height: auto; min-width: 31rem; max-width: 48rem; }
figcaption { color: var(--soft); font-size: 0.88rem; margin-top: 0.3rem; max-width: 60rem;
  position: sticky; left: 0; }
.curves { display: grid; gap: 0 2rem;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 36rem), 1fr)); }
summary { cursor: pointer; margin-bottom: 0.5rem; }
@media (max-width: 40rem) { dl { grid-template-columns: minmax(0, 1fr); gap: 0; }
  dd { margin-bottom: 0.5rem; } }
"""

SCRIPT = """
for (const button of document.querySelectorAll("th button")) {
  button.addEventListener("click", () => {
    const head = button.parentElement, body = head.closest("table").tBodies[0];
    const down = head.getAttribute("aria-sort") === "ascending";
    for (const other of head.parentElement.children) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const key = row => {
      const cell = row.cells[head.cellIndex], number = cell.dataset.number;
      return number === undefined ? [1, cell.textContent] : [0, Number(number)];
    };
    const rows = [...body.rows].map(row => [key(row), row]);
    const missing = one => one[0][0] === 1 && one[0][1] === "\\u2013";
    rows.sort(([a, x], [b, y]) => {
      // What is not there stays at the end in both directions.
      const order = missing([a]) - missing([b]);
      if (order) return order;
      const less = a[0] - b[0] || (a[0] ? a[1].localeCompare(b[1]) : a[1] - b[1]);
      return down ? -less : less;
    });
    body.append(...rows.map(one => one[1]));
  });
}
"""
