// The theme changes at once; the form behind each button saves it.
document.addEventListener("click", (event) => {
  const button = event.target.closest?.("button[data-theme-choice]");
  if (!button) {
    return;
  }
  const form = button.closest("form");
  const choice = button.dataset.themeChoice;
  document.documentElement.dataset.theme = choice;
  form.querySelectorAll("[data-theme-choice]").forEach((other) => {
    other.setAttribute("aria-pressed", String(other === button));
  });
  event.preventDefault();
  const body = new FormData(form);
  body.set(button.name, button.value);
  fetch(form.action, { method: "POST", body, redirect: "manual" });
});
