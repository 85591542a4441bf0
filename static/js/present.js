// A live message may speak of rows that this page does not show: they are left out before htmx looks for them.
window.htmx?.defineExtension("present", {
  transformResponse: (text) => {
    if (!text.includes("hx-swap-oob")) {
      return text;
    }
    const template = document.createElement("template");
    template.innerHTML = text;
    let isWhole = true;
    for (const piece of [...template.content.children]) {
      if (piece.id && piece.getAttribute("hx-swap-oob") === "true" && !document.getElementById(piece.id)) {
        piece.remove();
        isWhole = false;
      }
    }
    return isWhole ? text : template.innerHTML;
  },
});
