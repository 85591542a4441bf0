// Rows to act on together: a box for all, Shift for a range, a bar with the number chosen.
let last = null;

const scopeOf = (element) => element.closest("[data-select]");
const rowsOf = (scope) => [...scope.querySelectorAll("input[data-select-row]:not(:disabled)")];

const refresh = (scope) => {
  const rows = rowsOf(scope);
  const chosen = rows.filter((row) => row.checked).length;
  const all = scope.querySelector("input[data-select-all]");
  if (all) {
    all.checked = rows.length > 0 && chosen === rows.length;
    all.indeterminate = chosen > 0 && chosen < rows.length;
  }
  scope.querySelectorAll("[data-select-count]").forEach((place) => (place.textContent = String(chosen)));
  scope.querySelectorAll("[data-select-bar]").forEach((bar) => (bar.hidden = chosen === 0));
};

document.addEventListener("click", (event) => {
  const box = event.target;
  if (box.matches?.("input[data-select-all]")) {
    rowsOf(scopeOf(box)).forEach((row) => (row.checked = box.checked));
    refresh(scopeOf(box));
    return;
  }
  if (box.matches?.("[data-select-none]")) {
    rowsOf(scopeOf(box)).forEach((row) => (row.checked = false));
    refresh(scopeOf(box));
    return;
  }
  if (!box.matches?.("input[data-select-row]")) {
    return;
  }
  const scope = scopeOf(box);
  const rows = rowsOf(scope);
  if (event.shiftKey && last && rows.includes(last)) {
    const [from, to] = [rows.indexOf(last), rows.indexOf(box)].sort((a, b) => a - b);
    rows.slice(from, to + 1).forEach((row) => (row.checked = box.checked));
  }
  last = box;
  refresh(scope);
});

const refreshAll = () => document.querySelectorAll("[data-select]").forEach(refresh);

window.addEventListener("pageshow", refreshAll);
document.addEventListener("htmx:afterSettle", refreshAll);
refreshAll();
