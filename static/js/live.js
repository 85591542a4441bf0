// Pages that move by websocket: says when the line is down, and keeps focus and open parts over swaps.
const DOWN_AFTER_MS = 1500;
const down = new Set();
let timer = 0;
let isLeaving = false;

const show = () => {
  document.querySelectorAll("[data-live-state]").forEach((place) => {
    place.hidden = down.size === 0;
    const words = down.size === 0 ? "" : place.dataset.liveState;
    const text = place.querySelector("[data-live-words]") ?? place;
    if (text.textContent !== words) {
      text.textContent = words;
    }
  });
};

const lost = (event) => {
  if (isLeaving) {
    return;
  }
  down.add(event.target);
  clearTimeout(timer);
  timer = setTimeout(show, DOWN_AFTER_MS);
};

window.addEventListener("pagehide", () => (isLeaving = true));
window.addEventListener("pageshow", () => (isLeaving = false));
document.addEventListener("htmx:wsClose", lost);
document.addEventListener("htmx:wsError", lost);
document.addEventListener("htmx:wsOpen", (event) => {
  down.delete(event.target);
  clearTimeout(timer);
  show();
});

// A swap replaces elements up to four times a second: focus, open <details> and scrolling stay.
let kept = null;

document.addEventListener("htmx:wsBeforeMessage", () => {
  kept = {
    focus: document.activeElement?.id || null,
    open: [...document.querySelectorAll("details[data-keep-open]")].map((part) => [part.id, part.open]),
    scrolled: [...document.querySelectorAll("[data-keep-scroll]")].map((part) => [
      part.id,
      part.scrollTop,
      part.scrollHeight - part.scrollTop - part.clientHeight < 24,
    ]),
  };
});

document.addEventListener("htmx:wsAfterMessage", () => {
  if (!kept) {
    return;
  }
  recall(kept.open.map(([id]) => id));
  for (const [id, isOpen] of kept.open) {
    const part = document.getElementById(id);
    if (part && part.open !== isOpen) {
      part.open = isOpen;
    }
  }
  for (const [id, top, isAtEnd] of kept.scrolled) {
    const part = document.getElementById(id);
    if (part) {
      part.scrollTop = isAtEnd ? part.scrollHeight : top;
    }
  }
  if (kept.focus && document.activeElement?.id !== kept.focus) {
    document.getElementById(kept.focus)?.focus({ preventScroll: true });
  }
  kept = null;
  announce();
});

// Screen readers hear a sentence only when it has changed, not four times a second.
const announce = () => {
  document.querySelectorAll("[data-announce]").forEach((source) => {
    const place = document.getElementById(source.dataset.announceIn ?? "live-announcer");
    if (place && place.textContent !== source.dataset.announce) {
      place.textContent = source.dataset.announce;
    }
  });
};

// <details data-remember="name"> stays as the person left it, on every page.
const remember = (part) => `open:${part.dataset.remember}`;

const recall = (known = []) => {
  document.querySelectorAll("details[data-remember]").forEach((part) => {
    const before = localStorage.getItem(remember(part));
    if (before !== null && !known.includes(part.id)) {
      part.open = before === "true";
    }
  });
};

recall();
document.addEventListener(
  "toggle",
  (event) => {
    if (event.target.dataset?.remember) {
      localStorage.setItem(remember(event.target), String(event.target.open));
    }
  },
  true,
);
