// Filters that apply themselves, buttons that are pressed once, radio choices that open their part.
document.addEventListener("change", (event) => {
  const form = event.target.closest?.("form[data-autosubmit]");
  if (form && event.target.matches("select, input[type=checkbox], input[type=radio], input[type=date]")) {
    form.requestSubmit();
  }
});

// A second click must not send twice. Downloads keep their button (data-repeatable).
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (event.defaultPrevented || form.method !== "post" || form.dataset.repeatable !== undefined) {
    return;
  }
  if (form.dataset.sent) {
    event.preventDefault();
    return;
  }
  form.dataset.sent = "true";
  event.submitter?.setAttribute("data-busy", "");
});

// A page that comes back from the browser's cache is fresh again.
window.addEventListener("pageshow", () => {
  document.querySelectorAll("form[data-sent]").forEach((form) => delete form.dataset.sent);
  document.querySelectorAll("[data-busy]").forEach((button) => button.removeAttribute("data-busy"));
});

// <div data-shown-by="NAME" data-shown-when="a b"> is shown while the field NAME has one of these values.
const refreshParts = () => {
  document.querySelectorAll("[data-shown-by]").forEach((part) => {
    const fields = document.getElementsByName(part.dataset.shownBy);
    const values = [...fields]
      .filter((field) => !["checkbox", "radio"].includes(field.type) || field.checked)
      .map((field) => field.value);
    const wanted = part.dataset.shownWhen.split(" ");
    part.hidden = !values.some((value) => wanted.includes(value));
  });
};

document.addEventListener("change", refreshParts);
document.addEventListener("htmx:afterSettle", refreshParts);
refreshParts();

// The first field with an error is where the person goes on.
document.querySelector("[aria-invalid=true]")?.focus();
