// The end of a task reaches the page once: parts with hx-trigger="task-ended from:body" fetch themselves again.
const place = document.getElementById("live-events");

if (place) {
  new MutationObserver((changes) => {
    for (const change of changes) {
      for (const node of change.addedNodes) {
        const mark = node.nodeType === Node.ELEMENT_NODE && (node.matches("[data-task-ended]") ? node : node.querySelector("[data-task-ended]"));
        if (mark) {
          document.body.dispatchEvent(new CustomEvent("task-ended", { bubbles: true }));
          node.remove();
        }
      }
    }
  }).observe(place, { childList: true });
}
