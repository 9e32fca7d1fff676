// The grid: a block a suite; in it a row a configuration, unfolded into its cells, and a column a kind of check.

const grid = byId("grid");
const unfolded = new Set();
const blockOf = new Map(index.blocks.flatMap((block) => block.configurations.map((name) => [name, block])));
let rows = [];

// The worst of some checks, how many are as bad, and how many there are.
function tally(found) {
  if (!found.length) return null;
  const worst = found.reduce((a, b) => (order(b) < order(a) ? b : a));
  return { worst, total: found.length, count: found.filter((check) => check.state === worst.state).length };
}

const order = (check) => 1000 * RANK[check.state] + check.rank;

function said(found) {
  const counts = new Map();
  for (const check of found) counts.set(check.name, (counts.get(check.name) || 0) + 1);
  return [...counts].map(([name, count]) => `${count} ${words(name)}`).join(", ");
}

function square(found, where) {
  const sum = tally(found);
  if (!sum) return element("td", { class: "none", role: "gridcell" });
  const text = sum.worst.state === "good" ? `${sum.worst.sign} ${sum.total}` : `${sum.worst.sign} ${sum.count}/${sum.total}`;
  const label = `${where}: ${said(found)}`;
  return element("td", { class: sum.worst.state, role: "gridcell", tabindex: "-1", title: label, "aria-label": label }, text);
}

function line(name, found, block, head, properties) {
  const columns = new Map(block.columns.map((column) => [column, []]));
  for (const check of found) columns.get(check.column).push(check);
  const squares = [...columns].map(([column, some]) => square(some, `${name}, ${index.columns[column]}`));
  return element(
    "tr",
    { role: "row", ...properties },
    element("th", { scope: "row", role: "rowheader", tabindex: "-1" }, head),
    squares,
  );
}

function grouped(found) {
  const groups = new Map();
  for (const check of found) {
    const { configuration } = check.cell;
    if (!groups.has(configuration)) groups.set(configuration, new Map());
    const group = groups.get(configuration);
    if (!group.has(check.cell)) group.set(check.cell, []);
    group.get(check.cell).push(check);
  }
  return groups;
}

function heads(block) {
  const head = (text) => element("th", { scope: "col", role: "columnheader" }, text);
  const names = block.columns.map((column) => head(index.columns[column]));
  return element("tr", { role: "row", class: "heads" }, head(block.name || "cell"), names);
}

function leaves(group, block) {
  let last = "";
  const several = new Set(cells.map((cell) => cell.platform)).size > 1;
  return [...group].map(([cell, found]) => {
    const model = element("span", cell.model === last ? { class: "again" } : {}, cell.model);
    last = cell.model;
    const made = line(cell.id, found, block, [model, ` ${cell.dtype}${several ? ` ${cell.platform}` : ""}`], {
      class: "leaf",
      "aria-level": "2",
    });
    return { made, cell, block, configuration: cell.configuration };
  });
}

function fill() {
  const found = selected();
  const groups = grouped(found);
  const few = narrowed() && [...groups.values()].reduce((sum, group) => sum + group.size, 0) <= 40;
  rows = [];
  const parts = new Map();
  for (const [configuration, group] of groups) {
    const block = blockOf.get(configuration);
    const open = few || unfolded.has(configuration);
    const head = [element("span", { class: "fold", "aria-hidden": "true" }, open ? "▾" : "▸"), configuration];
    const made = line(configuration, [...group.values()].flat(), block, head, {
      class: "group",
      "aria-level": "1",
      "aria-expanded": String(open),
    });
    const added = [{ made, cell: null, block, configuration }, ...(open ? leaves(group, block) : [])];
    rows.push(...added);
    if (!parts.has(block)) parts.set(block, [heads(block)]);
    parts.get(block).push(...added.map((row) => row.made));
  }
  grid.replaceChildren(...[...parts.values()].map((part) => element("tbody", { role: "rowgroup" }, part)));
  byId("shown").textContent = narrowed() ? `${found.length} of ${checks.length} checks` : `${checks.length} checks`;
  rove(rows[0]?.made.firstChild);
}

// One place of the grid is in the order of tabs; arrows move it.
function rove(place, focus = false) {
  if (!place) return;
  for (const other of grid.querySelectorAll('[tabindex="0"]')) other.setAttribute("tabindex", "-1");
  place.setAttribute("tabindex", "0");
  if (focus) place.focus();
}

function fold(configuration, open) {
  if (open) unfolded.add(configuration);
  else unfolded.delete(configuration);
  fill();
  rove(rows.find((row) => row.configuration === configuration)?.made.firstChild, true);
}

function step(place, key) {
  const row = place.parentElement;
  const at = [...row.children].indexOf(place);
  const number = rows.findIndex((other) => other.made === row);
  const below = (other) => other && (other.made.children[at] || other.made.lastChild);
  const next = {
    ArrowDown: below(rows[number + 1]),
    ArrowUp: below(rows[number - 1]),
    Home: row.firstChild,
    End: row.lastChild,
  };
  if (key in next) return next[key];
  let other = place;
  do other = key === "ArrowRight" ? other.nextElementSibling : other.previousElementSibling;
  while (other && other.className === "none");
  return other;
}
