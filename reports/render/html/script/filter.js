// Which checks are shown: those in a chosen state that hold every word of the search and none after a minus.

const wanted = { states: new Set(), text: "" };

function pattern(word) {
  const literal = word.replace(/[.+?^${}()|[\]\\]/g, "\\$&");
  return new RegExp(literal.replaceAll("*", "[^/\\s]*"), "i");
}

function selected() {
  const words = wanted.text.split(/\s+/).filter(Boolean);
  const must = words.filter((word) => !word.startsWith("-")).map(pattern);
  const not = words.filter((word) => word.length > 1 && word.startsWith("-")).map((word) => pattern(word.slice(1)));
  return checks.filter((check) => {
    if (wanted.states.size && !wanted.states.has(check.name)) return false;
    const text = `${check.id} ${check.name} ${check.message}`;
    return must.every((word) => word.test(text)) && !not.some((word) => word.test(text));
  });
}

const narrowed = () => wanted.states.size > 0 || wanted.text.trim() !== "";
