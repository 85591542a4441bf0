// <button data-copy="#id-of-the-text"> or data-copy-text="words": copies, and says that it did.
const textOf = (button) => {
  if (button.dataset.copyText !== undefined) {
    return button.dataset.copyText;
  }
  const source = document.querySelector(button.dataset.copy);
  return source ? (source.value ?? source.textContent) : "";
};

// navigator.clipboard exists only on https and localhost.
const copyBySelection = (text) => {
  const area = document.createElement("textarea");
  area.value = text;
  area.className = "visually-hidden";
  document.body.append(area);
  area.select();
  const done = document.execCommand("copy");
  area.remove();
  return done;
};

document.addEventListener("click", async (event) => {
  const button = event.target.closest?.("[data-copy], [data-copy-text]");
  if (!button) {
    return;
  }
  const text = textOf(button).trim();
  let done = false;
  try {
    await navigator.clipboard.writeText(text);
    done = true;
  } catch {
    done = copyBySelection(text);
    button.focus();
  }
  const label = button.querySelector("[data-copy-label]") ?? button;
  const before = label.textContent;
  if (done && button.dataset.copied && !button.dataset.busy) {
    button.dataset.busy = "";
    label.textContent = button.dataset.copied;
    setTimeout(() => {
      label.textContent = before;
      delete button.dataset.busy;
    }, 1600);
  }
});
