// Controls that need script: the content of a file as base64, and the reader's own zone.

export function addFiles(area) {
  const chooser = document.createElement("input");
  chooser.type = "file";
  chooser.setAttribute("aria-label", `File for ${area.labels[0]?.firstChild.textContent.trim() ?? "the bytes"}`);
  chooser.addEventListener("change", () => {
    const [file] = chooser.files;
    const most = Math.floor((Number(area.form.dataset.most) * 3) / 4); // Base64 has four characters for three bytes.
    const tooLarge = file && file.size > most;
    chooser.setCustomValidity(tooLarge ? `The file has ${file.size} bytes. A job takes at most ${most}.` : "");
    if (tooLarge) chooser.reportValidity();
    if (!file || tooLarge) return;
    const reader = new FileReader();
    reader.addEventListener("load", () => {
      const [, base64 = ""] = reader.result.split(",", 2);
      area.value = base64.replaceAll("+", "-").replaceAll("/", "_");
      area.dispatchEvent(new Event("input", { bubbles: true }));
    });
    reader.readAsDataURL(file);
  });
  area.after(chooser);
}

// The offset of the reader's zone depends on the time that is chosen, so it is computed again with each change.
export function addZones(select) {
  const input = select.parentElement.querySelector("input");
  const own = new Option("", "");
  const empty = !input.value;
  select.prepend(own);

  function compute() {
    const offset = -new Date(input.value || Date.now()).getTimezoneOffset();
    const two = (number) => String(Math.trunc(Math.abs(number))).padStart(2, "0");
    own.value = Number.isNaN(offset) ? "Z" : `${offset < 0 ? "-" : "+"}${two(offset / 60)}:${two(offset % 60)}`;
    own.textContent = `your zone (${own.value})`;
  }
  compute();
  input.addEventListener("input", compute);
  if (empty) own.selected = true;
}
