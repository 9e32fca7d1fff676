// The panel beside the grid: the checks of a cell, of a square of the grid, or one check; its address is the page's.

const panel = byId("panel");
let opener = null;

// An address is the id of a check or of a cell, or names the column of a cell or of a configuration.
function choose(address) {
  const told = decoded(address.replace(/^#/, ""));
  if (!told) return null;
  const [, property, name, column] = /^(cell|configuration)=(.*?)(?:&column=(.*))?$/s.exec(told) || [
    null,
    "cell",
    told.split("::")[0],
    "",
  ];
  const id = told.includes("::") && !told.includes("=") ? told : "";
  const of = (check) => (property === "cell" ? check.cell.id : check.cell.configuration);
  const found = checks
    .filter((check) => of(check) === name && (!column || index.columns[check.column] === column))
    .sort((a, b) => order(a) - order(b));
  return { name: column ? `${name} \u00b7 ${column}` : name, id, found, mixed: property === "configuration" };
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

const MOST = 200;

function open(address) {
  const chosen = choose(address);
  if (!chosen) return close();
  const { name, id, found, mixed } = chosen;
  const first = id ? found.find((check) => check.id === id) : found[0];
  const lost = first ? "" : `This page has no check ${id || name}. `;
  const items = found.slice(0, MOST).map((check) => item(check, mixed));
  if (first && !found.slice(0, MOST).includes(first)) items.unshift(item(first, mixed));
  panel.replaceChildren(
    ...nodes([
      element(
        "div",
        { class: "head" },
        element("h2", { id: "panel-title" }, name || "check"),
        element("button", { type: "button", onclick: (event) => copy(location.href, event.target) }, "copy link"),
        element("button", { type: "button", onclick: leave }, "close"),
      ),
      element("p", { class: "more" }, lost, found.length > 0 && said(found)),
      items,
      found.length > MOST &&
        element("p", { class: "more" }, `and ${found.length - MOST} more: unfold the configuration to see them by cell`),
    ]),
  );
  show(true);
  const shown = first && items.find((made) => made.dataset.id === first.id);
  if (shown) shown.open = true;
  mark(found);
  panel.focus();
  panel.scrollTop = 0;
  if (id && shown) shown.scrollIntoView({ block: "center" });
}

function show(shown) {
  panel.hidden = !shown;
  document.body.classList.toggle("beside", shown);
}

function item(check, mixed) {
  const made = element(
    "details",
    { class: "check", "data-id": check.id, ontoggle: () => detail(made, check) },
    element(
      "summary",
      {},
      element("span", { class: `sign ${check.state}` }, check.sign),
      element("b", {}, mixed ? `${check.cell.model}/${check.cell.dtype} ${check.label}` : check.label),
      index.columns[check.column] !== check.kind && element("span", { class: "more" }, index.columns[check.column]),
      element("span", { class: `state ${check.state}` }, words(check.name)),
    ),
  );
  return made;
}

async function detail(made, check) {
  if (!made.open || made.dataset.filled) return;
  made.dataset.filled = "yes";
  try {
    made.append(body(check, await recorded(check)));
  } catch (error) {
    made.append(
      element(
        "p",
        { class: "reason" },
        `What was recorded cannot be unpacked here: ${error}. It is in the run's records.jsonl.`,
      ),
    );
  }
}

function mark(found) {
  for (const row of rows)
    row.made.classList.toggle("chosen", Boolean(row.cell) && found.length > 0 && row.cell === found[0].cell);
}

function close() {
  show(false);
  mark([]);
  opener?.isConnected ? opener.focus() : byId("grid").querySelector('[tabindex="0"]')?.focus();
  opener = null;
}

// Closing is a step of the history too, so that the browser's own back opens the cell again.
function leave() {
  history.pushState(null, "", location.pathname + location.search);
  close();
}

function address(row, place) {
  const at = [...row.made.children].indexOf(place);
  if (row.cell && at === 0) return `#${path(row.cell.id)}`;
  const where = row.cell ? `cell=${path(row.cell.id)}` : `configuration=${path(row.configuration)}`;
  return at > 0 ? `#${where}&column=${path(index.columns[row.block.columns[at - 1]])}` : `#${where}`;
}

const path = (text) => encodeURIComponent(text.toWellFormed()).replaceAll("%2F", "/");

async function copy(text, button) {
  const label = button.textContent;
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = "copied";
  } catch {
    const area = element("textarea", {}, "");
    area.value = text;
    panel.append(area);
    area.select();
    button.textContent = document.execCommand("copy") ? "copied" : "not allowed here";
    area.remove();
  }
  setTimeout(() => {
    button.textContent = label;
  }, 1500);
}
