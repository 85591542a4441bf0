// A long list that a text narrows down: <… data-filter> with an input[data-filter-text] and rows [data-filter-row="name"].
const narrow = (scope) => {
  const wanted = scope.querySelector("input[data-filter-text]")?.value.trim().toLowerCase() ?? "";
  scope.querySelectorAll("[data-filter-row]").forEach((row) => {
    row.hidden = !row.dataset.filterRow.toLowerCase().includes(wanted);
  });
};

const narrowAll = () => document.querySelectorAll("[data-filter]").forEach(narrow);

document.addEventListener("input", (event) => {
  if (event.target.matches?.("input[data-filter-text]")) {
    narrow(event.target.closest("[data-filter]"));
  }
});

// Enter in the text is no answer to the form around it.
document.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && event.target.matches?.("input[data-filter-text]")) {
    event.preventDefault();
  }
});

// A box for a text that does nothing without us is shown by us.
const show = () => document.querySelectorAll("[data-filter-box]").forEach((box) => (box.hidden = false));

window.addEventListener("pageshow", narrowAll);
document.addEventListener("htmx:afterSettle", () => {
  show();
  narrowAll();
});
show();
narrowAll();
