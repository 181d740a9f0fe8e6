// Shows each <time> in the reader's zone; its title keeps the time in UTC. In charts, [data-at] begins with a time.

const day = new Intl.DateTimeFormat(undefined, { dateStyle: "medium" });
const forms = {
  minute: new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" }),
  weekday: new Intl.DateTimeFormat(undefined, { weekday: "short", hour: "2-digit", minute: "2-digit" }),
};
const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
const clock = new Intl.DateTimeFormat(undefined, { timeStyle: "medium" });

export function showTimes(part) {
  const today = day.format(new Date());
  for (const element of part.querySelectorAll("time[datetime]")) {
    const at = new Date(element.dateTime);
    if (Number.isNaN(at.getTime())) continue;
    const date = day.format(at);
    const text = date === today ? clock.format(at) : `${date}, ${clock.format(at)}`;
    if (element.textContent !== text) element.textContent = text;
  }
  for (const element of part.querySelectorAll("[data-at]")) {
    const [, ...rest] = element.textContent.split(" · ");
    element.textContent = [forms[element.dataset.form].format(new Date(element.dataset.at)), ...rest].join(" · ");
  }
  for (const element of part.querySelectorAll("[data-zone]")) element.textContent = zone;
}
