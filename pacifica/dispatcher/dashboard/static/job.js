// The page of one job: actions that are sent once, the time of a running job, and no look for the
// events of other jobs.

const job = document.querySelector("[data-job]").dataset.job;

document.addEventListener("dispatcher:changed", (event) => {
  if (event.detail.job !== job) event.preventDefault();
});

document.addEventListener("submit", (event) => {
  if (event.target.closest(".actions")) for (const button of event.target.querySelectorAll("button")) button.disabled = true;
});

// A page that the browser shows again as it was, after "back", may be out of date, and its form was sent.
addEventListener("pageshow", (event) => event.persisted && location.reload());

// The seconds since a running job was rendered are added to those that it had run by then.
const shown = new WeakMap();
setInterval(() => {
  for (const element of document.querySelectorAll("[data-seconds]")) {
    if (!shown.has(element)) shown.set(element, performance.now());
    const seconds = Number(element.dataset.seconds) + (performance.now() - shown.get(element)) / 1000;
    element.textContent = duration(seconds);
  }
}, 1000);

// As the server writes it.
function duration(seconds) {
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  const minutes = Math.floor(seconds / 60);
  const hours = Math.floor(minutes / 60);
  if (!hours) return `${minutes} min ${String(Math.floor(seconds % 60)).padStart(2, "0")} s`;
  if (hours < 24) return `${hours} h ${String(minutes % 60).padStart(2, "0")} min`;
  return `${Math.floor(hours / 24)} d ${hours % 24} h`;
}
