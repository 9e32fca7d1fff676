// The index, read at once, and the records, unpacked a chunk at a time when they are first asked for.

const index = JSON.parse(byId("index").textContent);
const chunks = document.querySelectorAll("script.records");
const unpacked = new Map();
const RANK = { bad: 0, open: 1, good: 2 };

const cells = index.cells.map(([configuration, model, dtype, platform]) => ({
  configuration,
  model,
  dtype,
  platform,
  id: `${configuration}/${model}/${dtype}/${platform}`,
  checks: [],
}));

const checks = index.checks.cell.map((cell, at) => {
  const subject = index.subjects[index.checks.subject[at]];
  const kind = index.kinds[index.checks.kind[at]];
  const label = subject ? `${kind}[${subject}]` : kind;
  const state = index.states[index.checks.state[at]];
  const check = {
    at,
    kind,
    label,
    subject,
    cell: cells[cell],
    id: `${cells[cell].id}::${label}`,
    column: index.checks.column[at],
    name: state.name,
    state: state.state,
    sign: state.sign,
    rank: index.checks.state[at],
    message: index.messages[index.checks.message[at]],
  };
  cells[cell].checks.push(check);
  return check;
});

// JSON has no NaN and no infinity: reports/document.py writes them as an object with one key.
function revive(key, value) {
  return value && typeof value === "object" && "$float" in value ? Number(value.$float) : value;
}

async function unpack(at) {
  const packed = Uint8Array.from(atob(chunks[at].textContent), (letter) => letter.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  return JSON.parse(await new Response(stream).text(), revive);
}

// What was recorded of a check: {before, after, verdict}, each where there is one.
async function recorded(check) {
  const chunk = Math.floor(check.at / index.chunk);
  if (!unpacked.has(chunk)) unpacked.set(chunk, unpack(chunk));
  return (await unpacked.get(chunk))[check.at % index.chunk];
}
