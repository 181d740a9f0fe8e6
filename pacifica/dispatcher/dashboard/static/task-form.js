// The form of a task: the lines for a shell and for Python while somebody types, rows of lists, files, zones, a new key.

import { asRows } from "./task-lists.js";
import { addFiles, addZones } from "./task-controls.js";

const PAUSE = 350; // The milliseconds without a change before the lines are asked for.
const form = document.getElementById("task-form");
let timer = 0;
let asked = 0;

function later() {
  clearTimeout(timer);
  timer = setTimeout(showLines, PAUSE);
}

async function showLines() {
  const number = ++asked;
  try {
    const answer = await fetch(form.dataset.linesFrom, {
      method: "POST",
      body: new URLSearchParams(new FormData(form)),
      credentials: "same-origin",
    });
    if (!answer.ok || number !== asked) return;
    const lines = await answer.json();
    document.getElementById("line-curl").textContent = lines.curl;
    document.getElementById("line-python").textContent = lines.python;
    document.getElementById("lines-incomplete").hidden = lines.complete;
  } catch {
    // The lines stay as they are; the next change asks again.
  }
}

// A field that may not be empty: the browser then says so before the form is sent.
function askForText(choice) {
  const field = document.getElementById(choice.id.replace(/-empty$/, ""));
  const mayBeHidden = field?.closest(".group")?.querySelector(":scope > .meaning") || field?.hidden;
  if (field?.matches("input, textarea") && !mayBeHidden && choice.querySelector("option[value=missing]")) {
    field.required = choice.value === "missing";
  }
}

// A form that the browser shows again after "back" is a new one: what it starts is another job.
function renewKey(event) {
  const again = event.persisted || performance.getEntriesByType("navigation")[0]?.type === "back_forward";
  if (!again) return;
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  form.elements.namedItem("key").value = [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  later();
}

function showFocus() {
  const wanted = form.dataset.focus;
  const field = wanted && [...form.elements].find((each) => each.name?.startsWith(wanted) && each.type !== "hidden");
  if (field) field.focus();
  else document.getElementById("faults")?.focus();
}

if (form && !form.querySelector("fieldset.plain").disabled) {
  form.querySelectorAll("[data-lines]").forEach(asRows);
  form.querySelectorAll("[data-bytes]").forEach(addFiles);
  form.querySelectorAll("[data-zone]").forEach(addZones);
  form.querySelectorAll("[data-if-empty]").forEach(askForText);
  form.addEventListener("change", (event) => event.target.matches("[data-if-empty]") && askForText(event.target));
  // A browser cannot show its message at a field that is folded away.
  form.addEventListener("invalid", (event) => event.target.closest("details")?.setAttribute("open", ""), true);
  form.addEventListener("input", later);
  form.addEventListener("change", later);
  form.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit(document.getElementById("start"));
  });
  addEventListener("pageshow", renewKey);
  // The browser goes to the part that the address names once the page is loaded, which takes the focus away.
  if (document.readyState === "complete") showFocus();
  else addEventListener("load", () => setTimeout(showFocus));
}
