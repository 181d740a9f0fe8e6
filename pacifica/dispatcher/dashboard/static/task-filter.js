// Filters the catalogue while somebody types; without script the form asks the server.

const box = document.getElementById("task-filter");
const count = document.getElementById("task-count");

function filter() {
  const wanted = box.value.trim().toLowerCase();
  let shown = 0;
  const rows = [...document.querySelectorAll("#task-rows > tr")];
  for (const row of rows) {
    const text = `${row.querySelector(".name").textContent} ${row.querySelector(".sentence")?.textContent ?? ""}`;
    row.hidden = !text.toLowerCase().includes(wanted);
    row.toggleAttribute("data-row", !row.hidden);
    shown += row.hidden ? 0 : 1;
  }
  count.textContent = `${shown} of ${rows.length}`;
}

// A page that the server has filtered does not have all rows.
if (box && !box.defaultValue) {
  box.addEventListener("input", filter);
  if (box.value) filter();
}
