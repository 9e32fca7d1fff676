// Everything known about one check.

const MEMORY = [
  ["GiB", 2 ** 30],
  ["MiB", 2 ** 20],
  ["KiB", 2 ** 10],
];
const EXECUTED = ["families", "asked", "configured"];
const COUNTED = ["kernels", "operators"];
const LATENCY = "latency";
const PLACED =
  /^(given|map|places?|devices?|inputs_on|first|model_device|providers?|handed|listed|assigned|io_binding|nodes|copies|outside_.*)$/;
const TOLERANCE = "_tolerance";
const SHORT = 80;

function body(check, { before, after, verdict, ratios }) {
  const both = { before, after, two: index.two };
  const shown = after || before || {};
  return element(
    "div",
    { class: "body" },
    check.message && element("p", { class: "reason" }, check.message),
    (verdict?.also || []).map((finding) => element("p", { class: "reason" }, `${words(finding.kind)}: ${finding.message}`)),
    before &&
      after &&
      before.outcome !== after.outcome &&
      element("p", { class: "more" }, `${words(before.outcome)} before, ${words(after.outcome)} now`),
    (verdict?.accepted || shown.expectation) &&
      element("p", {}, "known failure: ", link(verdict?.accepted || shown.expectation)),
    command(verdict?.command || shown.command),
    part("Error against tolerance", errors(both)),
    part("Latency", latency(both, ratios || {})),
    part("Kernels and operators that executed", executed(both)),
    part("Placement", table(both, placement)),
    part("Memory", memory(both)),
    part(
      "Time",
      table(
        both,
        (record) => record.durations,
        (value) => seconds(value),
      ),
    ),
    part(
      "What else was recorded",
      table(both, (record) => of(record.evidence, (key) => !known(key))),
    ),
    part("Identity", table(both, identity)),
  );
}

const known = (key) => key === LATENCY || EXECUTED.includes(key) || COUNTED.includes(key) || PLACED.test(key);

// Where everything is; the map of modules told by place, because there are few places and many modules.
function placement({ evidence }) {
  const { map, ...told } = of(evidence, (key) => PLACED.test(key));
  if (!map || typeof map !== "object") return map === undefined ? told : { ...told, map };
  const places = new Map();
  for (const [module, place] of Object.entries(map)) places.set(place, [...(places.get(place) || []), module || "everything"]);
  return { ...told, map: Object.fromEntries([...places].map(([place, modules]) => [place, modules.join(", ")])) };
}

function of(tree, wants) {
  return Object.fromEntries(Object.entries(tree || {}).filter(([key]) => wants(key)));
}

function part(name, ...content) {
  const made = nodes(content);
  return made.length > 0 && [element("h3", {}, name), made];
}

function identity(record) {
  return {
    test: record.nodeid,
    definition: record.definition,
    worker: record.worker,
    started: record.started && moment(record.started),
    reason: record.reason,
  };
}

function moment(epoch) {
  const date = new Date(epoch * 1000);
  return Number.isNaN(date.getTime()) ? "unknown" : date.toISOString().replace("T", " ").slice(0, 19) + " UTC";
}

function command(text) {
  return (
    text &&
    element(
      "div",
      { class: "command" },
      element("pre", {}, element("code", {}, text)),
      element("button", { type: "button", onclick: (event) => copy(text, event.target) }, "copy"),
    )
  );
}

// Error over tolerance of each metric that has one, as in reports/statistics.py.
function shares(record) {
  return Object.fromEntries(
    Object.entries(record?.errors || {}).flatMap(([name, error]) => {
      const tolerance = record.errors[name + TOLERANCE];
      if (tolerance === undefined) return [];
      return [[name, tolerance === 0 ? (error === 0 ? 0 : Number.isNaN(error) ? NaN : Infinity) : error / tolerance]];
    }),
  );
}

function errors({ before, after, two }) {
  const [was, now] = [shares(before), shares(after)];
  const names = [...new Set([...Object.keys(now), ...Object.keys(was)])];
  const figures = table({ before, after, two }, (record) => record.errors, scientific);
  return [names.length > 0 && errorPicture(names.map((name) => ({ name, was: was[name], now: now[name] }))), figures].filter(
    Boolean,
  );
}

function scientific(value) {
  return Number.isFinite(value) && value !== 0 ? value.toExponential(2) : String(value);
}

function executed({ before, after, two }) {
  const told = table({ before, after, two }, (record) => of(record.evidence, (key) => EXECUTED.includes(key)));
  const counted = COUNTED.map((key) => {
    const [was, now] = [before, after].map((record) => record?.evidence?.[key] || {});
    const names = [...new Set([...Object.keys(now), ...Object.keys(was)])];
    return (
      names.length > 0 &&
      element(
        "table",
        { class: "kernels" },
        element(
          "thead",
          {},
          element(
            "tr",
            {},
            two && element("th", {}, "baseline"),
            element("th", {}, two ? "candidate" : "times"),
            element("th", {}, key),
          ),
        ),
        element(
          "tbody",
          {},
          names.map((name) =>
            element(
              "tr",
              { class: two && !(name in now) ? "gone" : two && !(name in was) ? "new" : null },
              two && element("td", { class: "number" }, was[name] === undefined ? "-" : `${was[name]}x`),
              element("td", { class: "number" }, now[name] === undefined ? "-" : `${now[name]}x`),
              element("td", {}, name),
            ),
          ),
        ),
      )
    );
  });
  return [told, ...counted].filter(Boolean);
}

function memory({ before, after, two }) {
  const [was, now] = [before?.memory || {}, after?.memory || {}];
  const names = [...new Set([...Object.keys(now), ...Object.keys(was)])];
  if (!names.length) return null;
  return [
    barPicture(
      names.map((name) => ({ name, was: was[name], now: now[name] })),
      bytes,
    ),
    table({ before, after, two }, (record) => record.memory, bytes),
  ];
}

function bytes(amount) {
  const unit = MEMORY.find(([, size]) => Math.abs(amount) >= size);
  return unit ? `${(amount / unit[1]).toFixed(2)} ${unit[0]}` : `${amount} B`;
}

function seconds(value) {
  return Number.isFinite(value)
    ? value < 0.1
      ? `${(1000 * value).toPrecision(3)} ms`
      : `${Number(value.toPrecision(3))} s`
    : String(value);
}

// A table of names and values, with a column a run; what differs between two runs stands out.
function table({ before, after, two }, choose, written = tree) {
  const [was, now] = [before, after].map((record) => (record && choose(record)) || {});
  const names = [...new Set([...Object.keys(now), ...Object.keys(was)])].filter((name) => there(now[name]) || there(was[name]));
  if (!names.length) return null;
  const same = (name) => JSON.stringify(was[name]) === JSON.stringify(now[name]);
  const once = (name) => two && same(name) && JSON.stringify(now[name]).length > SHORT / 2; // what is long and the same
  const cell = (value, span) =>
    element("td", { class: typeof value === "number" ? "number" : null, colspan: span }, there(value) ? written(value) : "-");
  return element(
    "table",
    {},
    two &&
      element("thead", {}, element("tr", {}, element("th", {}), element("th", {}, "baseline"), element("th", {}, "candidate"))),
    element(
      "tbody",
      {},
      names.map((name) =>
        element(
          "tr",
          { class: two && before && after && !same(name) ? "differs" : null },
          element("th", { scope: "row" }, words(name)),
          two && !once(name) && cell(was[name]),
          cell(now[name], once(name) ? 2 : null),
        ),
      ),
    ),
  );
}

const there = (value) => value !== undefined && value !== null && value !== "" && !(Array.isArray(value) && !value.length);

// A list in a line where it is short, else an entry a line; entries that all have the same keys are a table.
function list(value) {
  const plainly = value.every((part) => part === null || typeof part !== "object");
  if (plainly && value.join(", ").length <= SHORT) return value.map(scalar).join(", ");
  const keys = value[0] && !plainly && Object.keys(value[0]);
  const alike = keys && value.every((part) => part && Object.keys(part).join() === keys.join());
  if (!alike || Array.isArray(value[0])) return value.map((part) => element("div", {}, tree(part)));
  return element(
    "table",
    {},
    element(
      "thead",
      {},
      element(
        "tr",
        {},
        keys.map((key) => element("th", {}, words(key))),
      ),
    ),
    element(
      "tbody",
      {},
      value.map((part) =>
        element(
          "tr",
          {},
          keys.map((key) => element("td", {}, tree(part[key]))),
        ),
      ),
    ),
  );
}

function scalar(value) {
  return typeof value === "number" && !Number.isInteger(value) ? String(Number(value.toPrecision(6))) : String(value);
}

// Free evidence: objects and lists nest.
function tree(value) {
  if (Array.isArray(value)) return list(value);
  if (value === null || typeof value !== "object") return link(scalar(value));
  const entries = Object.entries(value);
  if (entries.every(([, part]) => typeof part === "number")) {
    return element("span", { class: "raw" }, entries.map(([key, part]) => `${key} ${scalar(part)}`).join(", "));
  }
  return entries.map(([key, part]) => element("div", { class: "raw" }, `${key}: `, tree(part)));
}
