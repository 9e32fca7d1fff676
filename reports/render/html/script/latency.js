// The distributions of a latency check: the median of each measuring process, over the samples that it took.

function latency({ before, after, two }, ratios) {
  const [was, now] = [before, after].map((record) => record?.evidence?.[LATENCY]?.figures || {});
  const names = [...new Set([...Object.keys(now), ...Object.keys(was)])];
  const counted = table({ before, after, two }, (record) => record.evidence?.[LATENCY]?.counters);
  return [names.map((name) => figure(name, two ? was[name] : undefined, now[name], { two, gap: ratios[name] })), counted];
}

function figure(name, was, now, { two, gap }) {
  const sides = [two && ["baseline", was], [two ? "candidate" : "", now]].filter((side) => side && side[1]);
  const told = sides.map(([side, entry]) => `${side} ${summary(entry)}`.trim()).join("; ");
  const ratio = gap ? `; ${gap[0].toFixed(3)} times the baseline's, between ${gap[1].toFixed(3)} and ${gap[2].toFixed(3)}` : "";
  return [
    element("p", { class: "more" }, `${words(name)} (${now?.clock || was?.clock} time): ${told}${ratio}`),
    distributions(sides, name),
  ];
}

function summary(entry) {
  const found = medians(entry);
  const disturbed = entry.processes.length - found.length;
  const speed = entry.tokens_per_second ? `, ${entry.tokens_per_second} tokens/s` : "";
  return `${found.length ? seconds(middle(found)) : "no undisturbed sample"} over ${found.length} process${found.length === 1 ? "" : "es"}${disturbed ? `, ${disturbed} disturbed` : ""}${speed}`;
}

const medians = (entry) => entry.processes.map((process) => process.median).filter((median) => Number.isFinite(median));

function middle(values) {
  const sorted = values.toSorted((a, b) => a - b);
  const half = Math.floor(sorted.length / 2);
  return sorted.length % 2 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
}

// A line a process: its samples as a bar from the tenth to the ninetieth of a hundred, its median as a dot.
function distributions(sides, name) {
  const lines = sides.flatMap(([side, entry], at) =>
    entry.processes
      .filter((process) => Number.isFinite(process.median))
      .map((process) => ({ ...spread(process), late: at === sides.length - 1 })),
  );
  if (!lines.length) return null;
  const [low, high] = [Math.min(...lines.map((line) => line.low)), Math.max(...lines.map((line) => line.high))];
  const room = (high - low) * 0.05 || high * 0.01 || 1;
  const at = (value) => LEFT + ((value - low + room) / (high - low + 2 * room)) * (RIGHT - LEFT);
  const heights = lines.map((line, row) => 26 + row * 9);
  const height = heights.at(-1) + 12;
  const middles = sides
    .map(([side, entry], row) => ({ side, value: middle(medians(entry)), late: row === sides.length - 1 }))
    .filter(({ value }) => Number.isFinite(value));
  return drawn(
    "svg",
    { class: "picture", viewBox: `0 0 640 ${height}`, role: "img", "aria-label": `${words(name)}: medians of processes` },
    [low, (low + high) / 2, high].map((value) => [
      drawn("path", { class: "tick", d: `M${at(value)} 16V${height}` }),
      drawn("text", { class: "label", x: at(value), y: 11, "text-anchor": "middle" }, seconds(value)),
    ]),
    middles.map(({ value, late }) =>
      drawn("path", { class: late ? "middle" : "middle early", d: `M${at(value)} 16V${height}` }),
    ),
    lines.map((line, row) => [
      drawn("path", { class: line.late ? "reach" : "reach early", d: `M${at(line.low)} ${heights[row]}H${at(line.high)}` }),
      drawn("circle", { class: line.late ? "now" : "was", cx: at(line.median), cy: heights[row], r: 3.2 }),
    ]),
    middles.map(({ side, late }) =>
      drawn("text", { x: LEFT - 8, y: heights[late ? lines.length - 1 : 0] + 4, "text-anchor": "end" }, side),
    ),
  );
}

function spread(process) {
  const samples = (process.samples || []).filter(Number.isFinite).toSorted((a, b) => a - b);
  const at = (share) => samples[Math.round(share * (samples.length - 1))] ?? process.median;
  return { median: process.median, low: Math.min(at(0.1), process.median), high: Math.max(at(0.9), process.median) };
}
