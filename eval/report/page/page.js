"use strict";

// Side by side: two bars part the stage into original, codec and rival.
const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

function setUp(strip) {
  const stage = strip.querySelector(".stage");
  const handles = [...stage.querySelectorAll(".handle")];
  const cuts = [1 / 3, 2 / 3];
  const view = { zoom: 1, x: 0.5, y: 0.5 };

  function draw() {
    const [first, second] = cuts.map((cut) => `${(100 * cut).toFixed(3)}%`);
    const rest = (cut) => `${(100 * (1 - cut)).toFixed(3)}%`;
    for (const layer of stage.querySelectorAll(".layer")) {
      const list = layer.classList;
      if (list.contains("original")) layer.style.clipPath = `inset(0 ${rest(cuts[0])} 0 0)`;
      if (list.contains("tested")) layer.style.clipPath = `inset(0 ${rest(cuts[1])} 0 ${first})`;
      if (list.contains("rival")) layer.style.clipPath = `inset(0 0 0 ${second})`;
      const shift = (centre) => `${(100 * (0.5 - centre * view.zoom)).toFixed(3)}%`;
      layer.firstElementChild.style.transform =
        `translate(${shift(view.x)}, ${shift(view.y)}) scale(${view.zoom})`;
    }
    handles.forEach((handle, i) => {
      handle.style.left = `${100 * cuts[i]}%`;
      handle.setAttribute("aria-valuenow", Math.round(100 * cuts[i]));
    });
    stage.classList.toggle("zoomed", view.zoom > 1);
    stage.classList.toggle("pixels", view.zoom >= 4);
  }

  function moveCut(i, to) {
    cuts[i] = clamp(to, 0, 1);
    if (i === 0) cuts[1] = Math.max(cuts[0], cuts[1]);
    else cuts[0] = Math.min(cuts[0], cuts[1]);
    draw();
  }

  function moveView(x, y) {
    const margin = 0.5 / view.zoom;
    view.x = clamp(x, margin, 1 - margin);
    view.y = clamp(y, margin, 1 - margin);
    draw();
  }

  handles.forEach((handle, i) => {
    handle.setAttribute("aria-valuemin", 0);
    handle.setAttribute("aria-valuemax", 100);
    handle.addEventListener("pointerdown", (event) => {
      event.preventDefault();
      event.stopPropagation();
      handle.focus();
      handle.setPointerCapture(event.pointerId);
    });
    handle.addEventListener("pointermove", (event) => {
      if (!handle.hasPointerCapture(event.pointerId)) return;
      const box = stage.getBoundingClientRect();
      moveCut(i, (event.clientX - box.left) / box.width);
    });
    handle.addEventListener("keydown", (event) => {
      const steps = {
        ArrowLeft: -0.02, ArrowDown: -0.02, ArrowRight: 0.02, ArrowUp: 0.02,
        PageDown: -0.1, PageUp: 0.1, Home: -1, End: 1,
      };
      if (!(event.key in steps)) return;
      event.preventDefault();
      moveCut(i, cuts[i] + steps[event.key]);
    });
  });

  let grip = null;
  stage.addEventListener("pointerdown", (event) => {
    if (view.zoom === 1) return;
    grip = { px: event.clientX, py: event.clientY, x: view.x, y: view.y };
    stage.setPointerCapture(event.pointerId);
  });
  stage.addEventListener("pointermove", (event) => {
    if (!grip || !stage.hasPointerCapture(event.pointerId)) return;
    const box = stage.getBoundingClientRect();
    moveView(
      grip.x - (event.clientX - grip.px) / (box.width * view.zoom),
      grip.y - (event.clientY - grip.py) / (box.height * view.zoom),
    );
  });
  for (const end of ["pointerup", "pointercancel"]) {
    stage.addEventListener(end, () => { grip = null; });
  }

  const buttons = [...strip.querySelectorAll("[data-zoom]")];
  for (const button of buttons) {
    button.addEventListener("click", () => {
      view.zoom = Number(button.dataset.zoom);
      for (const other of buttons) other.setAttribute("aria-pressed", String(other === button));
      moveView(view.x, view.y);
    });
  }
  draw();
}

function chooseRival(name) {
  for (const part of document.querySelectorAll(".layer.rival, .size.rival")) {
    part.hidden = part.dataset.codec !== name;
  }
}

// Tables: a click on a heading sorts by that column, a second one the other way round.
function sortable(table) {
  const heads = [...table.tHead.rows[0].cells];
  const body = table.tBodies[0];
  const number = (text) => parseFloat(text.replace(/[^0-9.eE+-]/g, " "));
  heads.forEach((head, column) => {
    head.firstElementChild.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      for (const other of heads) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const rows = [...body.rows].map((row) => ({ row, text: row.cells[column].textContent }));
      rows.sort((a, b) => {
        const [x, y] = [number(a.text), number(b.text)];
        if (column > 0 && Number.isNaN(x) !== Number.isNaN(y)) return Number.isNaN(x) ? 1 : -1;
        const order = column > 0 && !Number.isNaN(x) ? x - y : a.text.localeCompare(b.text);
        return down ? -order : order;
      });
      body.append(...rows.map(({ row }) => row));
    });
  });
}

document.querySelectorAll(".strip").forEach(setUp);
document.querySelectorAll("table").forEach(sortable);
const radios = [...document.querySelectorAll("input[name=rival]")];
for (const radio of radios) radio.addEventListener("change", () => chooseRival(radio.value));
document.querySelector("#rivals").hidden = radios.length < 2;
if (radios.length) chooseRival(radios.find((radio) => radio.checked).value);
