// Puts a copy button beside each text that says so. Without this script the text is selected and copied by hand.
"use strict";
for (const text of document.querySelectorAll("[data-copy]")) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "copy";
  button.textContent = "Copy";
  button.setAttribute("aria-label", `Copy ${text.dataset.copy}`);
  const said = document.createElement("span");
  said.className = "unseen";
  said.setAttribute("role", "status");
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(text.textContent.trim());
      button.textContent = "Copied";
      said.textContent = `Copied ${text.dataset.copy}`;
    } catch {
      getSelection().selectAllChildren(text);
      button.textContent = "Selected";
      said.textContent = "Selected; copy it with your keyboard";
    }
    setTimeout(() => { button.textContent = "Copy"; said.textContent = ""; }, 2000);
  });
  text.parentElement.append(button, said);
}
