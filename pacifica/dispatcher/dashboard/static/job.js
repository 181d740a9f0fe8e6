// The page of one job: buttons that copy, actions that are sent once, and no look for the events of other jobs.

document.documentElement.classList.add("scripted");
const job = document.querySelector("[data-job]").dataset.job;

document.addEventListener("dispatcher:changed", (event) => {
  if (event.detail.job !== job) event.preventDefault();
});

document.addEventListener("submit", (event) => {
  if (event.target.closest(".actions")) for (const button of event.target.querySelectorAll("button")) button.disabled = true;
});

// The browser may show this page again as it was, after "back".
addEventListener("pageshow", () => {
  for (const button of document.querySelectorAll(".actions button")) button.disabled = false;
});

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  const source = document.getElementById(button.dataset.copy);
  button.textContent = (await copied(source)) ? "Copied" : "Selected";
  setTimeout(() => (button.textContent = "Copy"), 1500);
});

// Without HTTPS, browsers have no clipboard for scripts: then the text is selected, and the old command copies it.
async function copied(source) {
  try {
    await navigator.clipboard.writeText(source.textContent);
    return true;
  } catch {
    getSelection().selectAllChildren(source);
    return document.execCommand("copy");
  }
}
