// Shows each <time> in the reader's zone; its title keeps the time in UTC.

const day = new Intl.DateTimeFormat(undefined, { dateStyle: "medium" });
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
}
