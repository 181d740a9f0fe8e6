// Shows a list that is written on lines as rows of inputs; the lines remain what the form sends.

const TYPES = { whole: "number", number: "number", date: "date", time: "time" };
const FITS = { number: /^-?[0-9]*\.?[0-9]+(e[+-]?[0-9]+)?$/i, date: /^\d{4}-\d\d-\d\d$/, time: /^\d\d:\d\d(:\d\d)?$/ };

export function asRows(area) {
  const values = area.value.split("\n").filter((line) => line.trim());
  const type = TYPES[area.dataset.lines] ?? "text";
  if (values.length > 100 || values.some((value) => FITS[type] && !FITS[type].test(value))) return;
  const rows = document.createElement("div");
  rows.className = "items";
  const more = button("Add an item", () => add("").focus());
  rows.append(more);
  const label = area.labels[0];
  const name = label?.firstChild.textContent.trim() ?? "";

  function add(value) {
    const row = document.createElement("div");
    const input = document.createElement("input");
    input.type = type;
    if (type === "number") input.step = area.dataset.lines === "whole" ? "1" : "any";
    if (type === "time") input.step = "1";
    input.value = value;
    if (input.value !== value) Object.assign(input, { type: "text", value }); // A date such as 2026-13-01.
    if (area.dataset.choices) input.setAttribute("list", area.dataset.choices);
    input.autocomplete = "off";
    input.addEventListener("keydown", (event) => step(event, row));
    const remove = button("Remove", () => drop(row));
    remove.className = "quiet";
    row.append(input, remove);
    rows.insertBefore(row, more);
    number();
    return input;
  }

  function drop(row) {
    const next = row.nextElementSibling ?? more;
    row.remove();
    number();
    (next.querySelector?.("input") ?? more).focus();
    keep();
  }

  // Enter begins the next item, and does not send the form.
  function step(event, row) {
    if (event.key !== "Enter" || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    const next = row.nextElementSibling;
    (next === more ? add("") : next.querySelector("input")).focus();
  }

  function number() {
    [...rows.querySelectorAll("input")].forEach((input, index) => {
      input.setAttribute("aria-label", `${name}, item ${index + 1}`);
      input.nextElementSibling.setAttribute("aria-label", `Remove item ${index + 1} of ${name}`);
      for (const attribute of ["aria-describedby", "aria-invalid"]) {
        const value = area.getAttribute(attribute);
        if (value) input.setAttribute(attribute, value);
      }
    });
  }

  function keep() {
    area.value = [...rows.querySelectorAll("input")].map((input) => input.value).join("\n");
    area.dispatchEvent(new Event("input", { bubbles: true }));
  }

  rows.addEventListener("input", (event) => {
    event.stopPropagation();
    keep();
  });
  values.forEach(add);
  more.id = `${area.id}-more`;
  rows.setAttribute("role", "group");
  more.setAttribute("aria-label", `Add an item to ${name}`);
  if (label) {
    rows.setAttribute("aria-labelledby", label.id);
    label.removeAttribute("for");
  }
  // The summary of faults links to the rows in place of the lines, which are hidden, and so cannot be required.
  rows.id = area.id;
  rows.tabIndex = -1;
  area.removeAttribute("id");
  area.required = false;
  area.hidden = true;
  area.after(rows);
}

function button(text, act) {
  const made = document.createElement("button");
  made.type = "button";
  made.textContent = text;
  made.addEventListener("click", act);
  return made;
}
