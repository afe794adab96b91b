"use strict";
const buttons = [...document.querySelectorAll(".frame")];
const dialog = document.querySelector("dialog");
const [title, words] = dialog.querySelectorAll("p b, p span");
const place = dialog.querySelector("div");
let shown = null;

function find(setting, frame) {
  return buttons.find((each) => each.dataset.setting == setting && each.dataset.frame == frame);
}

function show(button) {
  shown = button;
  const svg = button.querySelector("svg");
  const section = button.closest(".setting");
  place.replaceChildren(svg.cloneNode(true));
  title.textContent = [...section.querySelectorAll("h2 b, h2 i")].map((e) => e.textContent).join("  ");
  words.textContent = button.closest("figure").querySelector("figcaption").textContent;
  if (!dialog.open) dialog.showModal();
}

function hide() {
  dialog.close();
  shown.focus();
}

function toggle(key) {
  const tool = document.querySelector(`.tools [data-key="${key}"]`);
  const on = tool.getAttribute("aria-pressed") != "true";
  tool.setAttribute("aria-pressed", on);
  if (key == "o") document.body.classList.toggle("without-outlines", !on);
  else for (const each of buttons)
    each.querySelector("svg").setAttribute("viewBox", on ? each.dataset.close : each.dataset.whole);
  if (dialog.open) show(shown);
}

for (const each of buttons) each.addEventListener("click", () => show(each));
dialog.addEventListener("click", hide);
for (const each of document.querySelectorAll(".tools button"))
  each.addEventListener("click", () => toggle(each.dataset.key));
document.addEventListener("keydown", (event) => {
  const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key == "o" || event.key == "c") return toggle(event.key);
  if (event.key == "Escape" && dialog.open) {
    event.preventDefault();
    hide();
  }
  if (!(event.key in step)) return;
  const from = dialog.open ? shown : document.activeElement;
  if (!buttons.includes(from)) return;
  const [down, right] = step[event.key];
  const next = find(+from.dataset.setting + down, +from.dataset.frame + right);
  if (!next) return;
  event.preventDefault();
  if (dialog.open) show(next);
  else next.focus();
});
document.querySelector(".tools").hidden = false;
