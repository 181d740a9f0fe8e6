// Follows the event stream, and replaces the parts marked data-live by those of the page as it is now.
//
// A part is not replaced while somebody types or selects text in it, or has chosen rows of it. A page that wants to
// decide itself listens for the event "dispatcher:changed", whose detail is the event of a job, and cancels it.

import { showTimes } from "./times.js";

const PAUSE = 1000; // The least milliseconds between two looks.
const SLOW = 15000; // Those between two looks while no event comes.

let asked = 0;
let timer = 0;

export function follow() {
  if (!document.querySelector("[data-live]")) return;
  const events = new EventSource(`${document.body.dataset.prefix}/events`);
  events.onopen = () => connected(true);
  events.onerror = () => connected(false);
  events.onmessage = (message) => changed(JSON.parse(message.data));
  setInterval(() => document.hidden || soon(), SLOW);
  document.addEventListener("visibilitychange", () => document.hidden || soon());
}

function connected(open) {
  const line = document.getElementById("connection");
  line.textContent = open ? "live" : "disconnected, trying again";
  line.classList.toggle("lost", !open);
  if (open) soon();
}

function changed(event) {
  const told = new CustomEvent("dispatcher:changed", { detail: event, cancelable: true });
  if (document.dispatchEvent(told)) soon();
}

export function soon() {
  if (timer || document.hidden) return;
  timer = setTimeout(look, Math.max(0, asked + PAUSE - Date.now()));
}

async function look() {
  timer = 0;
  asked = Date.now();
  try {
    const answer = await fetch(location.href, { headers: { Accept: "text/html" }, credentials: "same-origin" });
    if (answer.ok) replace(new DOMParser().parseFromString(await answer.text(), "text/html"));
  } catch {
    connected(false);
  }
}

function replace(fresh) {
  for (const part of document.querySelectorAll("[data-live][id]")) {
    const now = fresh.getElementById(part.id);
    if (!now || busy(part)) continue;
    showTimes(now);
    if (!part.isEqualNode(now)) {
      keepOpen(part, now);
      part.replaceWith(document.adoptNode(now));
    }
  }
  if (fresh.title) document.title = fresh.title;
}

function busy(part) {
  const focused = document.activeElement;
  const typing = part.contains(focused) && focused.matches("input:not([type=checkbox]), textarea, select");
  const selection = getSelection();
  const reading = !selection.isCollapsed && part.contains(selection.anchorNode);
  return typing || reading || part.querySelector("input[type=checkbox]:checked") !== null;
}

// The reader's own changes of the page: what is unfolded, the current row, and the focus.
function keepOpen(part, now) {
  for (const details of part.querySelectorAll("details[id]")) {
    const same = now.querySelector(`#${CSS.escape(details.id)}`);
    if (same) same.open = details.open;
  }
  const row = part.querySelector("[data-row].current");
  if (row?.id) now.querySelector(`#${CSS.escape(row.id)}`)?.classList.add("current");
  const focused = part.contains(document.activeElement) && document.activeElement.id;
  if (focused) queueMicrotask(() => document.getElementById(focused)?.focus({ preventScroll: true }));
}
