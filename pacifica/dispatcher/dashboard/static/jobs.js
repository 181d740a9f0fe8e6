// The list of jobs: rows change in place and never move, new jobs are announced, and rows can be selected.

import { showTimes } from "./times.js";

const MOST = 100; // The most rows that one request refreshes.

const table = document.querySelector("table.jobs");
const list = document.querySelector("[data-follow]");
const news = document.getElementById("news");
const form = document.getElementById("chosen");
const stale = new Set(); // The shown jobs that have changed since they were last looked at.

document.addEventListener("dispatcher:changed", note);
document.addEventListener("dispatcher:fresh", (event) => merge(event.detail));
setUpFilters(document.getElementById("filters"));
if (form) setUpSelection();
forgetSummary();

const rowOf = (uuid) => document.getElementById(`job-${uuid}`);

// A job that is not shown matters only to the first page, and only if it is new or comes into a state of the filter.
function note(event) {
  const { job, kind } = event.detail;
  if (rowOf(job)) stale.add(job);
  else if (!list?.hasAttribute("data-first") || !mayAppear(kind)) event.preventDefault();
}

function mayAppear(kind) {
  const query = new URLSearchParams(location.search);
  if (query.has("error")) return kind === "FAILURE";
  const states = query.getAll("state").flatMap((text) => text.toUpperCase().split(","));
  return states.length ? states.includes(kind) : kind === "PENDING";
}

async function merge(page) {
  const fresh = [...page.querySelectorAll("#rows > [data-row]")];
  const added = fresh.filter((row) => !replace(row)).length;
  if (list?.hasAttribute("data-first")) announce(added, added === fresh.length && page.querySelector("a[rel=next]") !== null);
  const missing = [...stale].filter(rowOf).slice(0, MOST);
  for (const uuid of missing) stale.delete(uuid);
  if (missing.length) await refresh(missing);
}

// The rows that the page no longer has, because newer ones have taken their places, or they match no longer.
async function refresh(uuids) {
  const query = uuids.map((uuid) => `uuid=${uuid}`).join("&");
  const answer = await fetch(`${document.body.dataset.prefix}/ui/jobs/rows?${query}`, { credentials: "same-origin" });
  if (!answer.ok) return;
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  page.querySelectorAll("[data-row]").forEach(replace);
}

// Puts a row in the place of the one with its id; returns false if there is no such row.
function replace(fresh) {
  const old = document.getElementById(fresh.id);
  if (!old) return false;
  stale.delete(fresh.id.slice(4));
  const box = old.querySelector("input[type=checkbox]");
  showTimes(fresh);
  if (old.hasAttribute("class")) fresh.setAttribute("class", old.getAttribute("class"));
  if (old.isEqualNode(fresh) || reading(old)) return true;
  const focused = old.contains(document.activeElement) ? selectorOf(document.activeElement) : null;
  const now = document.adoptNode(fresh);
  now.querySelector("input[type=checkbox]").checked = box.checked;
  old.replaceWith(now);
  if (focused) now.querySelector(focused)?.focus({ preventScroll: true });
  for (const name of ["labels", "by", "on"]) if (now.querySelector(`.${name}`).textContent) table.classList.remove(`no-${name}`);
  return true;
}

const selectorOf = (element) => (element.matches("a") ? `a[href="${CSS.escape(element.getAttribute("href"))}"]` : element.localName);

function reading(row) {
  const selection = getSelection();
  return !selection.isCollapsed && selection.containsNode(row, true);
}

function announce(number, more) {
  news.hidden = number === 0;
  if (!number) return;
  const text = `${number}${more ? " or more" : ""} new ${number === 1 && !more ? "job" : "jobs"} – show`;
  const link = news.querySelector("a");
  if (link.textContent !== text) link.textContent = text;
}

// Selection: all of the page, a range with the shift key, and how many there are.
function setUpSelection() {
  const all = document.getElementById("all");
  const boxes = () => [...form.querySelectorAll("tbody input[type=checkbox]")];
  let last = null;
  const count = () => {
    const chosen = boxes().filter((box) => box.checked).length;
    all.checked = chosen > 0 && chosen === boxes().length;
    all.indeterminate = chosen > 0 && !all.checked;
    const number = document.getElementById("number");
    if (!number) return;
    number.textContent = chosen ? `${chosen} selected` : "Select jobs to run them again or to cancel them.";
    number.classList.toggle("soft", !chosen);
    number.parentElement.classList.toggle("active", chosen > 0);
    for (const button of form.querySelectorAll(".chosen button")) button.hidden = !chosen;
  };
  all.addEventListener("change", () => {
    for (const box of boxes()) box.checked = all.checked;
    count();
  });
  form.addEventListener("click", (event) => {
    if (!event.target.matches("tbody input[type=checkbox]")) return;
    const shown = boxes();
    const from = shown.findIndex((box) => box.value === last);
    const to = shown.indexOf(event.target);
    if (event.shiftKey && from >= 0)
      for (const box of shown.slice(Math.min(from, to), Math.max(from, to) + 1)) box.checked = event.target.checked;
    last = event.target.value;
    count();
  });
  addEventListener("pageshow", count); // A browser restores the boxes when it goes back.
  count();
}

// The form sends times with their zone, and nothing for an empty field, so that its address can be shared.
function setUpFilters(filters) {
  const dates = [...filters.querySelectorAll("input[type=datetime-local]")];
  for (const input of dates) if (input.value) input.value = local(new Date(`${input.value}Z`));
  for (const zone of filters.querySelectorAll(".zone")) zone.hidden = true;
  filters.addEventListener("formdata", (event) => {
    for (const [name, value] of [...event.formData]) if (value === "" && event.formData.getAll(name).length === 1) event.formData.delete(name);
    for (const input of dates) if (input.value) event.formData.set(input.name, `${new Date(input.value).toISOString().slice(0, 19)}Z`);
    const labels = event.formData.getAll("label").filter(Boolean);
    event.formData.delete("label");
    for (const label of labels) event.formData.append("label", label);
  });
  filters.addEventListener("change", (event) => {
    if (event.target.matches("[name=state], [name=last]")) filters.requestSubmit();
  });
}

function local(time) {
  return new Date(time - time.getTimezoneOffset() * 60000).toISOString().slice(0, 19);
}

// The summary of an action is shown once: a reload, or an address that is passed on, does not repeat it.
function forgetSummary() {
  const here = new URL(location.href);
  if (!here.searchParams.has("done")) return;
  here.searchParams.delete("done");
  history.replaceState(null, "", here);
}
