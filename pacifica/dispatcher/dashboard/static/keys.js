// Keys: "/" searches, "j" and "k" move along the rows, "Enter" opens, "x" selects, "?" lists them all.

const PAGES = { o: "/", j: "/ui/jobs", t: "/ui/tasks" };
let going = false;

export function listenForKeys() {
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || typing(event.target)) return;
    if (act(event.key)) event.preventDefault();
  });
  document.addEventListener("click", openRow);
}

// A click beside the links of a row opens it, and one beside its box is for the box; a selection of text stays.
function openRow(event) {
  const row = event.target.closest("tr[data-row]");
  const other = event.ctrlKey || event.metaKey || event.shiftKey || event.altKey || !getSelection().isCollapsed;
  if (!row || other || event.target.closest("a, button, input, label, summary")) return;
  const box = event.target.closest(".pick")?.querySelector("input");
  (box ?? row.querySelector("a"))?.click();
}

function typing(element) {
  return element.matches("input:not([type=checkbox]), textarea, select, [contenteditable]") || element.closest("dialog[open]");
}

function act(key) {
  if (going) {
    going = false;
    if (key in PAGES) location.href = document.body.dataset.prefix + PAGES[key];
    return key in PAGES;
  }
  if (key === "g") going = true;
  else if (key === "/") document.getElementById("find").focus();
  else if (key === "?") document.getElementById("keys").showModal();
  else if (key === "j") return move(1);
  else if (key === "k") return move(-1);
  else if (key === "x") return toggle();
  else if (key === "Enter") return open();
  else return false;
  return true;
}

const rows = () => [...document.querySelectorAll("[data-rows] > [data-row]")].filter((row) => row.getClientRects().length);
const current = () => document.querySelector("[data-row].current");

function move(step) {
  const all = rows();
  if (!all.length) return false;
  const at = all.indexOf(current());
  const next = all[Math.min(Math.max(at + step, 0), all.length - 1)];
  current()?.classList.remove("current");
  next.classList.add("current");
  next.scrollIntoView({ block: "nearest" });
  next.querySelector("a")?.focus({ preventScroll: true });
  return true;
}

function toggle() {
  const box = current()?.querySelector("input[type=checkbox]");
  box?.click();
  return Boolean(box);
}

function open() {
  if (document.activeElement?.closest("a, button")) return false;
  const link = current()?.querySelector("a");
  link?.click();
  return Boolean(link);
}
