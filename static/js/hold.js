// A list that fetches itself waits while somebody has ticked rows in it: their choice would be lost.
document.addEventListener("htmx:beforeRequest", (event) => {
  const part = event.detail.elt;
  if (part.matches?.("[data-hold]") && part.querySelector("input[data-select-row]:checked")) {
    event.preventDefault();
  }
});
