// Menus are <details>; here they close on Escape and on a click elsewhere, one open at a time.
const openMenus = () => document.querySelectorAll("details.menu[open], details.navmenu[open]");

document.addEventListener("click", (event) => {
  openMenus().forEach((menu) => {
    if (!menu.contains(event.target)) {
      menu.open = false;
    }
  });
});

document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") {
    openMenus().forEach((menu) => {
      menu.open = false;
      menu.querySelector("summary").focus();
    });
    return;
  }
  if (event.key !== "ArrowDown" && event.key !== "ArrowUp") {
    return;
  }
  const menu = event.target.closest?.("details.menu[open]");
  if (!menu) {
    return;
  }
  const items = [...menu.querySelectorAll("summary, a[href], button:not(:disabled)")];
  const step = event.key === "ArrowDown" ? 1 : -1;
  const next = items[(items.indexOf(document.activeElement) + step + items.length) % items.length];
  event.preventDefault();
  next.focus();
});

// <button data-dialog="id"> opens a <dialog>; a form with method=dialog closes it.
document.addEventListener("click", (event) => {
  const opener = event.target.closest?.("[data-dialog]");
  if (opener) {
    document.getElementById(opener.dataset.dialog)?.showModal();
  }
});
