// One dialog asks before anything that cannot be undone. Without it the server asks on a page:
// the answer is the field `confirmed` (and `typed`), which the server checks in any case.
const dialog = document.getElementById("confirm-dialog");
let pending = null;

const part = (name) => dialog.querySelector(`[data-confirm-part="${name}"]`);

const expected = () => dialog.dataset.typed ?? "";

const check = () => {
  part("yes").disabled = expected() !== "" && part("typed").value !== expected();
};

const ask = (source, proceed) => {
  const { confirm, confirmTitle, confirmTyped, confirmAction, confirmTone } = source.dataset;
  pending = proceed;
  dialog.dataset.typed = confirmTyped ?? "";
  part("title").textContent = confirmTitle || part("title").dataset.default;
  part("text").textContent = confirm;
  part("yes").textContent = confirmAction || part("yes").dataset.default;
  const isPlain = confirmTone === "plain";
  part("yes").classList.toggle("button--primary", isPlain);
  part("yes").classList.toggle("button--danger-solid", !isPlain);
  part("typed-field").hidden = expected() === "";
  part("typed-name").textContent = expected();
  part("typed").value = "";
  check();
  dialog.showModal();
  (expected() ? part("typed") : part("no")).focus();
};

const setField = (form, name, value) => {
  let field = form.querySelector(`input[type="hidden"][name="${name}"]`);
  if (!field) {
    field = document.createElement("input");
    field.type = "hidden";
    field.name = name;
    form.append(field);
  }
  field.value = value;
};

const markConfirmed = (form) => {
  setField(form, "confirmed", "1");
  if (expected()) {
    setField(form, "typed", part("typed").value);
  }
};

if (dialog) {
  part("typed").addEventListener("input", check);
  dialog.addEventListener("close", () => {
    const proceed = pending;
    pending = null;
    if (dialog.returnValue === "yes" && proceed) {
      proceed();
    }
    dialog.returnValue = "";
  });
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) {
      dialog.close("no");
    }
  });

  // Plain forms: the form or the pressed button carries data-confirm.
  document.addEventListener(
    "submit",
    (event) => {
      const form = event.target;
      const button = event.submitter;
      const source = button?.dataset.confirm ? button : form.dataset.confirm ? form : null;
      if (!source || form.dataset.confirmed === "yes" || form.matches("[hx-post], [hx-delete], [hx-put]")) {
        return;
      }
      event.preventDefault();
      event.stopImmediatePropagation();
      ask(source, () => {
        markConfirmed(form);
        form.dataset.confirmed = "yes";
        form.requestSubmit(button ?? undefined);
        delete form.dataset.confirmed;
      });
    },
    true,
  );

  // htmx: the same attributes on the element that sends.
  document.addEventListener("htmx:confirm", (event) => {
    const source = event.detail.elt;
    if (!source.dataset?.confirm) {
      return;
    }
    event.preventDefault();
    ask(source, () => {
      const answer = expected() ? part("typed").value : "1";
      if (source.isConnected) {
        source.dataset.answered = answer;
        event.detail.issueRequest(true);
      } else {
        // A live fragment has replaced the button while the question stood: the answer still counts.
        const values = { confirmed: "1", typed: answer };
        window.htmx.ajax(event.detail.verb, event.detail.path, { source: document.body, swap: "none", values });
      }
    });
  });
  document.addEventListener("htmx:configRequest", (event) => {
    const { elt, parameters } = event.detail;
    if (elt.dataset?.answered) {
      parameters.confirmed = "1";
      parameters.typed = elt.dataset.answered;
      delete elt.dataset.answered;
    }
  });
}
