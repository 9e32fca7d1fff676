// Small pictures of one check, as SVG.

const LEFT = 130,
  RIGHT = 560,
  LINE = 26;

// A logarithmic axis; what is no number, or beyond it, is drawn at the far end.
function logarithmic(low, high) {
  return (value) => {
    if (Number.isNaN(value)) return RIGHT;
    const inside = Math.min(Math.max(value, low), high);
    return LEFT + (Math.log(inside / low) / Math.log(high / low)) * (RIGHT - LEFT);
  };
}

function canvas(lines, label, ...parts) {
  const height = 20 + LINE * lines;
  return drawn("svg", { class: "picture", viewBox: `0 0 640 ${height}`, role: "img", "aria-label": label }, ...parts);
}

function ticks(values, at, lines, written = String) {
  return values.map((value) => [
    drawn("path", { class: "tick", d: `M${at(value)} 16V${20 + LINE * lines}` }),
    drawn("text", { class: "label", x: at(value), y: 11, "text-anchor": "middle" }, written(value)),
  ]);
}

// Each metric's error over its tolerance: what is allowed is the band, the baseline a ring, the run a dot.
function errorPicture(metrics) {
  const at = logarithmic(1e-4, 10);
  const lines = metrics.map(({ name, was, now }, row) => {
    const y = 20 + LINE * row + LINE / 2;
    return [
      drawn("rect", { class: "band", x: LEFT, y: y - 8, width: at(1) - LEFT, height: 16 }),
      drawn("text", { x: LEFT - 8, y: y + 4, "text-anchor": "end" }, name),
      was !== undefined && now !== undefined && drawn("path", { class: "path", d: `M${at(was)} ${y}H${at(now)}` }),
      was !== undefined && drawn("circle", { class: "was", cx: at(was), cy: y, r: 5 }),
      now !== undefined && drawn("circle", { class: now <= 1 ? "now" : "now bad", cx: at(now), cy: y, r: 5 }),
    ];
  });
  const label = metrics
    .map(
      ({ name, was, now }) => `${name} ${was === undefined ? "" : `${percent(was)} before, `}${percent(now)} of its tolerance`,
    )
    .join("; ");
  return canvas(
    metrics.length,
    label,
    ticks([0.0001, 0.001, 0.01, 0.1, 1, 10], at, metrics.length),
    lines,
    drawn("path", { class: "limit", d: `M${at(1)} 16V${20 + LINE * metrics.length}` }),
  );
}

function percent(share) {
  return share === undefined
    ? "not recorded"
    : Number.isFinite(share)
      ? `${Number((100 * share).toPrecision(2))} %`
      : String(share);
}

// Amounts before and after as bars of one scale.
function barPicture(amounts, written) {
  const most = Math.max(...amounts.flatMap(({ was, now }) => [was || 0, now || 0])) || 1;
  const length = (value) => ((value || 0) / most) * (RIGHT - LEFT);
  const lines = amounts.map(({ name, was, now }, row) => {
    const y = 6 + LINE * row;
    return [
      drawn("text", { x: LEFT - 8, y: y + 15, "text-anchor": "end" }, name),
      was !== undefined && drawn("rect", { class: "p1", x: LEFT, y, width: length(was), height: 8 }),
      now !== undefined &&
        drawn("rect", {
          class: "p0",
          x: LEFT,
          y: was === undefined ? y + 4 : y + 10,
          width: length(now),
          height: was === undefined ? 12 : 8,
        }),
      drawn(
        "text",
        { class: "label", x: LEFT + length(Math.max(was || 0, now || 0)) + 6, y: y + 14 },
        now === undefined ? "" : written(now),
      ),
    ];
  });
  return canvas(amounts.length, amounts.map(({ name, now }) => `${name} ${now}`).join(", "), lines);
}
