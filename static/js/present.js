// A live message may speak of rows that this page does not show: they are left out before htmx looks for them.
window.htmx?.defineExtension("present", {
  transformResponse: (text) => {
    if (!text.includes("hx-swap-oob")) {
      return text;
    }
    // In a template, rows of a table stay rows; nothing in it is run or shown.
    const parsed = new DOMParser().parseFromString(`<template>${text}</template>`, "text/html");
    const pieces = [...parsed.querySelector("template").content.children];
    const isShown = (piece) =>
      !piece.id || piece.getAttribute("hx-swap-oob") !== "true" || document.getElementById(piece.id);
    const shown = pieces.filter(isShown);
    return shown.length === pieces.length ? text : shown.map((piece) => piece.outerHTML).join("");
  },
});
