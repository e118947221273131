// Everything works without this; with it filters take effect at once, "/" goes to the search, and pages keep up to date.
"use strict";

for (const form of document.querySelectorAll("form[data-live]")) {
  form.addEventListener("change", (event) => {
    if (event.target.matches("select, input[type=date]")) form.requestSubmit();
  });
  form.addEventListener("submit", () => {
    for (const field of form.elements) if (field.name && field.value === "") field.disabled = true; // short addresses
  });
}
addEventListener("pageshow", () => {
  for (const field of document.querySelectorAll("form[data-live] :disabled")) field.disabled = false;
});

document.addEventListener("keydown", (event) => {
  const search = document.querySelector("input[type=search]");
  const typing = event.target.closest("input, select, textarea, [contenteditable]");
  if (event.key === "/" && search && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
    event.preventDefault();
    search.focus();
    search.select();
  }
});

// A page that somebody reads or works in stays as it is: it is loaded anew only while nothing in it has the focus,
// nothing is marked, and it is seen. Who wants it still, pauses it; the browser remembers.
const refresh = document.getElementById("refresh");
const again = document.querySelector("[data-again]");
const every = again ? Number(again.dataset.again) : 60;
const remembered = {
  get paused() { try { return localStorage.getItem("paused") === "yes"; } catch { return false; } },
  set paused(is) { try { localStorage.setItem("paused", is ? "yes" : "no"); } catch { /* it holds for this page only */ } },
};
let paused = remembered.paused;

function show() {
  const button = refresh.querySelector("button");
  button.setAttribute("aria-pressed", String(paused));
}
if (refresh && !document.querySelector("input[type=password]")) {
  refresh.hidden = false;
  show();
  refresh.querySelector("button").addEventListener("click", () => {
    paused = !paused;
    remembered.paused = paused;
    show();
  });
  setInterval(() => {
    const idle = document.activeElement === document.body || document.activeElement === document.documentElement;
    const marked = String(getSelection() ?? "") !== "";
    const opened = document.querySelector("main details[open]:not([data-open])");
    if (!paused && idle && !marked && !opened && document.visibilityState === "visible") location.reload();
  }, every * 1000);
}
