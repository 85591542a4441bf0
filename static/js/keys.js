// Keys: "/" goes to the search field; "g" then a letter opens a page (links with data-key).
const isTyping = (target) => target.matches?.("input, textarea, select, [contenteditable]");

let waitsForLetter = false;
let timer = 0;

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target) || document.querySelector("dialog[open]")) {
    return;
  }
  if (event.key === "/") {
    const field = document.querySelector("[data-search], input[type=search]");
    if (field) {
      event.preventDefault();
      field.focus();
      field.select();
    }
    return;
  }
  if (event.key === "g") {
    waitsForLetter = true;
    clearTimeout(timer);
    timer = setTimeout(() => (waitsForLetter = false), 1200);
    return;
  }
  if (waitsForLetter && /^[a-z]$/.test(event.key)) {
    waitsForLetter = false;
    document.querySelector(`[data-key="${event.key}"]`)?.click();
  }
});
