// Shows each <time> in the reader's zone; its title keeps the time in UTC. In charts, [data-at] begins with a time.

const day = new Intl.DateTimeFormat(undefined, { dateStyle: "medium" });
const dayOfYear = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });
const forms = {
  minute: new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" }),
  weekday: new Intl.DateTimeFormat(undefined, { weekday: "short", hour: "2-digit", minute: "2-digit" }),
};
const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
export const clock = new Intl.DateTimeFormat(undefined, { timeStyle: "medium" });

export function showTimes(part) {
  const now = new Date();
  for (const element of part.querySelectorAll("time[datetime]")) {
    const at = new Date(element.dateTime);
    if (Number.isNaN(at.getTime())) continue;
    const text = day.format(at) === day.format(now) ? clock.format(at) : `${dateOf(at, now)}, ${clock.format(at)}`;
    if (element.textContent !== text) element.textContent = text;
  }
  for (const element of part.querySelectorAll("[data-at]")) {
    const [, ...rest] = element.textContent.split(" · ");
    element.textContent = [forms[element.dataset.form].format(new Date(element.dataset.at)), ...rest].join(" · ");
  }
  for (const element of part.querySelectorAll("[data-zone]")) element.textContent = zone;
}

// The year is left out if it is the present one.
function dateOf(at, now) {
  return (at.getFullYear() === now.getFullYear() ? dayOfYear : day).format(at);
}
