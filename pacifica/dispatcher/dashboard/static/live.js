// Follows the event stream, and replaces the parts marked data-live by those of the page as it is now.
//
// A part is not replaced while somebody types or selects text in it, or has chosen rows of it. A page that wants to
// decide itself listens for the event "dispatcher:changed", whose detail is the event of a job, and cancels it. One that
// replaces parts itself has an element marked data-follow, and gets the new page by the event "dispatcher:fresh".

import { clock, showTimes } from "./times.js";

const PAUSE = 1000; // The least milliseconds between two looks.
const SLOW = 15000; // Those between two looks while no event comes.
const HIDDEN = 60000; // Those between two looks of a hidden page, whose title shows failures.
const AGAIN = 5000; // Those before a stream that was refused is tried again.

let events = null;
let asked = 0;
let seen = new Date(); // When the page was as the server has it.
let timer = 0;

// A page whose job has ended has no such part any more.
const follows = () => document.querySelector("[data-live], [data-follow]");

export function follow() {
  if (!follows()) return;
  listen();
  setInterval(soon, SLOW);
  document.addEventListener("visibilitychange", () => {
    clearTimeout(timer);
    timer = 0;
    if (document.hidden) stop();
    else listen();
  });
  addEventListener("pagehide", stop);
  addEventListener("pageshow", listen);
}

function listen() {
  if (events || document.hidden || !follows()) return;
  events = new EventSource(`${document.body.dataset.prefix}/events`);
  events.onopen = () => { say("live", true); soon(); };
  events.onmessage = (message) => changed(JSON.parse(message.data));
  events.onerror = () => {
    if (events?.readyState === EventSource.CLOSED) { stop(); setTimeout(listen, AGAIN); }
    soon(); // It finds out whether the server answers at all.
  };
}

// A hidden page holds no stream, as the server has few, and a browser only six connections to it.
function stop() {
  events?.close();
  events = null;
}

// A page that is not as the server has it is grey, so that no one takes its verdict for the present one.
function say(text, good, more = "") {
  const line = document.getElementById("connection");
  if (line.textContent !== text + more) {
    line.textContent = text;
    if (more) line.append(Object.assign(document.createElement("span"), { className: "more", textContent: more }));
  }
  line.classList.toggle("lost", !good);
  document.body.classList.toggle("stale", !good);
}

function changed(event) {
  const told = new CustomEvent("dispatcher:changed", { detail: event, cancelable: true });
  if (document.dispatchEvent(told)) soon();
}

export function soon() {
  if (timer || !follows() || (document.hidden && !document.querySelector("[data-live]"))) return;
  timer = setTimeout(look, Math.max(0, asked + (document.hidden ? HIDDEN : PAUSE) - Date.now()));
}

async function look() {
  timer = 0;
  asked = Date.now();
  try {
    const answer = await fetch(location.href, { headers: { Accept: "text/html" }, credentials: "same-origin" });
    if (answer.status === 401 || answer.status === 403) return say("signed out, reload the page", false);
    if (!answer.ok) return say("out of date", false, ` since ${clock.format(seen)}, trying again`);
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    seen = new Date();
    replace(fresh);
    document.dispatchEvent(new CustomEvent("dispatcher:fresh", { detail: fresh }));
    if (!follows()) { stop(); say("", true); }
    else if (events?.readyState !== EventSource.OPEN) say(`updated every ${SLOW / 1000} s`, true);
  } catch {
    say("disconnected", false, ` since ${clock.format(seen)}, trying again`);
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
