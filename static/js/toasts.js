// Messages that float: closed by hand, or by themselves when they are good news.
const STAY_SECONDS = 8;

const list = () => document.getElementById("toasts");

const schedule = (item) => {
  const isBad = item.matches(".tone-bad, .tone-warn");
  if (isBad || item.dataset.scheduled) {
    return;
  }
  item.dataset.scheduled = "true";
  let timer = setTimeout(() => item.remove(), STAY_SECONDS * 1000);
  item.addEventListener("pointerenter", () => clearTimeout(timer));
  item.addEventListener("focusin", () => clearTimeout(timer));
  item.addEventListener("pointerleave", () => {
    timer = setTimeout(() => item.remove(), STAY_SECONDS * 500);
  });
};

/** Show a message of this tone (neutral, info, good, warn, bad). */
export const toast = (words, tone = "info") => {
  const template = document.getElementById("toast-template");
  const place = list();
  if (!template || !place || !words) {
    return;
  }
  const item = template.content.querySelector(`[data-tone="${tone}"]`)?.cloneNode(true);
  if (!item) {
    return;
  }
  item.querySelector(".toast__text").textContent = words;
  place.append(item);
};

document.addEventListener("click", (event) => {
  event.target.closest?.("[data-toast-close]")?.closest(".toast")?.remove();
});

// Servers may say `HX-Trigger: {"toast": {"words": …, "tone": …}}`.
document.addEventListener("toast", (event) => toast(event.detail.words, event.detail.tone));

const place = list();
if (place) {
  new MutationObserver(() => place.querySelectorAll(".toast").forEach(schedule)).observe(place, { childList: true });
  place.querySelectorAll(".toast").forEach(schedule);
}
