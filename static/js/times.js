// <time datetime data-relative>: "5 minutes ago", kept right; the server's absolute words go to the title.
const UNITS = [
  ["year", 31557600],
  ["month", 2629800],
  ["week", 604800],
  ["day", 86400],
  ["hour", 3600],
  ["minute", 60],
];

const format = new Intl.RelativeTimeFormat(document.documentElement.lang || "fr", { numeric: "auto" });

const words = (then) => {
  const seconds = (then - Date.now()) / 1000;
  for (const [unit, size] of UNITS) {
    if (Math.abs(seconds) >= size) {
      return format.format(Math.trunc(seconds / size), unit);
    }
  }
  return format.format(Math.trunc(seconds / 5) * 5, "second");
};

const refresh = (root = document) => {
  root.querySelectorAll("time[data-relative]").forEach((element) => {
    const then = Date.parse(element.dateTime);
    if (Number.isNaN(then)) {
      return;
    }
    if (!element.title) {
      element.title = element.textContent.trim();
    }
    const next = words(then);
    if (element.textContent !== next) {
      element.textContent = next;
    }
  });
};

refresh();
setInterval(() => refresh(), 10_000);
document.addEventListener("htmx:afterSettle", () => refresh());
document.addEventListener("htmx:wsAfterMessage", () => refresh());
