// What the reader does.

function search(text) {
  wanted.text = text;
  fill();
}

function chips() {
  const counts = new Map();
  for (const check of checks) counts.set(check.name, (counts.get(check.name) || 0) + 1);
  const toggle = (name) => (event) => {
    wanted.states.has(name) ? wanted.states.delete(name) : wanted.states.add(name);
    event.currentTarget.setAttribute("aria-pressed", String(wanted.states.has(name)));
    fill();
  };
  byId("states").replaceChildren(
    ...index.states.map(({ name, state, sign }) =>
      element(
        "button",
        { type: "button", "aria-pressed": "false", class: state, onclick: toggle(name) },
        element("span", { class: "sign" }, sign),
        ` ${words(name)} ${counts.get(name)}`,
      ),
    ),
  );
}

function visit(row, place) {
  if (place.className === "none") return;
  if (!row.cell && place.tagName === "TH") return fold(row.configuration, row.made.getAttribute("aria-expanded") !== "true");
  opener = place;
  location.hash = address(row, place);
}

function bad(forward) {
  const list = cells.filter((cell) => cell.checks.some((check) => check.state === "bad"));
  if (!list.length) return;
  const now = choose(location.hash)?.found[0]?.cell;
  const at = list.indexOf(now);
  const next = at < 0 ? (forward ? 0 : list.length - 1) : (at + (forward ? 1 : -1) + list.length) % list.length;
  location.hash = `#${path(list[next].id)}`;
}

grid.addEventListener("click", (event) => {
  const place = event.target.closest("td, tbody th");
  const row = place && rows.find((other) => other.made === place.parentElement);
  if (row) visit(row, place);
});

grid.addEventListener("keydown", (event) => {
  const place = event.target.closest("td, tbody th");
  const row = place && rows.find((other) => other.made === place.parentElement);
  if (!row) return;
  const folding = place.tagName === "TH" && !row.cell && { ArrowRight: "false", ArrowLeft: "true" }[event.key];
  if (folding && row.made.getAttribute("aria-expanded") === folding) fold(row.configuration, folding === "false");
  else if (["ArrowDown", "ArrowUp", "ArrowLeft", "ArrowRight", "Home", "End"].includes(event.key))
    rove(step(place, event.key), true);
  else if (event.key === "Enter" || event.key === " ") visit(row, place);
  else return;
  event.preventDefault();
});

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "Escape") {
    if (!panel.hidden) leave();
    else if (event.target === byId("search")) {
      byId("search").value = "";
      search("");
    }
    return;
  }
  if (/^(INPUT|TEXTAREA)$/.test(event.target.tagName)) return;
  if (event.key === "/") byId("search").focus();
  else if (event.key === "n" || event.key === "p") bad(event.key === "n");
  else return;
  event.preventDefault();
});

byId("tools").hidden = false;
byId("tools").addEventListener("submit", (event) => event.preventDefault());
byId("search").addEventListener("input", (event) => search(event.target.value));
byId("unfold").addEventListener("click", () => {
  for (const cell of cells) unfolded.add(cell.configuration);
  fill();
});
byId("fold").addEventListener("click", () => {
  unfolded.clear();
  fill();
});
window.addEventListener("hashchange", () => open(location.hash));
window.addEventListener("popstate", () => open(location.hash));
for (const cell of cells)
  if (cells.length <= 60 && cell.checks.some((check) => check.state === "bad")) unfolded.add(cell.configuration);
chips();
fill();
if (location.hash) open(location.hash);
