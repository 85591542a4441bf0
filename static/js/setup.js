// Marks the page as scripted, gives htmx the CSRF token, and says so when a request fails.
import { toast } from "./toasts.js";

document.documentElement.classList.add("js");

const meta = (name) => document.querySelector(`meta[name="${name}"]`)?.content ?? "";

document.addEventListener("htmx:configRequest", (event) => {
  if (event.detail.verb !== "get") {
    event.detail.headers["X-CSRFToken"] = meta("csrf-token");
  }
});

// Answers with a page for people (a 4xx of ours) are shown; the browser's address stays right.
document.addEventListener("htmx:beforeSwap", (event) => {
  const status = event.detail.xhr.status;
  if (status === 422) {
    event.detail.shouldSwap = true;
    event.detail.isError = false;
  }
});

document.addEventListener("htmx:responseError", (event) => {
  if (event.detail.xhr.status === 401 || event.detail.xhr.status === 403) {
    toast(meta("words-denied"), "bad");
    return;
  }
  const page = new DOMParser().parseFromString(event.detail.xhr.responseText, "text/html");
  const words = page.querySelector("[data-problem]")?.textContent.trim();
  toast(words || meta("words-failed"), "bad");
});

document.addEventListener("htmx:sendError", () => toast(meta("words-offline"), "bad"));
