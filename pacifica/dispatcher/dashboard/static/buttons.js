// Buttons that copy the text of the element before them, and buttons that unfold all parts of a tree.

export function listenForButtons() {
  document.addEventListener("click", ({ target }) => {
    const button = target.closest("button");
    if (button?.matches("[data-copy]")) copy(button);
    if (button?.matches("[data-unfold]")) unfold(button.parentElement);
  });
}

async function copy(button) {
  button.textContent = (await copied(button.previousElementSibling)) ? "Copied" : "Selected";
  setTimeout(() => (button.textContent = "Copy"), 1500);
}

// Without HTTPS, browsers have no clipboard for scripts: then the old command copies, which needs a selection.
async function copied(source) {
  const text = source.textContent;
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    getSelection().selectAllChildren(source);
    addEventListener("copy", (event) => { event.clipboardData.setData("text/plain", text); event.preventDefault(); }, { once: true });
    const done = document.execCommand("copy");
    if (done) getSelection().removeAllRanges(); // A part in which text is selected does not follow its job.
    return done;
  }
}

function unfold(tree) {
  const [first, ...parts] = tree.querySelectorAll("details.part");
  const open = !first.open || parts.some((part) => !part.open);
  first.open = true;
  for (const part of parts) part.open = open;
}
