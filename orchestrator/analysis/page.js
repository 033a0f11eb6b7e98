"use strict";
// Figures: the numbers of the mark nearest to the pointer, or stepped through with the arrow keys; zoom and pan.
// Without this script the numbers are the SVG's own titles, which a browser shows too.
const NEAR = 14, MOST = 16, STEP = 1.5;

function figure(box) {
  const svg = box.querySelector("svg"), tip = box.querySelector(".tip"), ring = box.querySelector(".ring");
  const whole = svg.viewBox.baseVal, home = { x: whole.x, y: whole.y, w: whole.width, h: whole.height };
  let view = { ...home }, at = -1, drag = null;
  const marks = [...svg.querySelectorAll("title")].map((title) => {
    const mark = { element: title.parentNode, text: title.textContent };
    title.remove();
    return mark;
  });

  function show(index) {
    at = index;
    if (index < 0) return void (tip.textContent = "");
    const mark = marks[index], r = mark.element.getBoundingClientRect(), b = box.getBoundingClientRect();
    const x = r.x + r.width / 2 - b.x - box.clientLeft + box.scrollLeft;
    const y = r.y + Math.min(r.height / 2, 40) - b.y - box.clientTop;
    tip.textContent = mark.text;
    ring.style.cssText = `left:${x}px;top:${y}px`;
    const left = Math.max(4, Math.min(x + 14, box.scrollLeft + box.clientWidth - tip.offsetWidth - 4));
    const below = y - tip.offsetHeight - 14 < 0;
    tip.style.cssText = `left:${left}px;top:${below ? y + 16 : y - tip.offsetHeight - 14}px`;
  }

  function nearest(px, py) {
    let best = -1, least = NEAR, area = Infinity;
    marks.forEach(({ element }, index) => {
      const r = element.getBoundingClientRect();
      const away = Math.hypot(Math.max(r.left - px, 0, px - r.right), Math.max(r.top - py, 0, py - r.bottom));
      if (away < least || (away === least && r.width * r.height < area)) {
        [best, least, area] = [index, away, r.width * r.height];
      }
    });
    return best;
  }

  function move(x, y, w) {
    w = Math.min(home.w, Math.max(home.w / MOST, w));
    const h = (w * home.h) / home.w;
    view = {
      x: Math.min(Math.max(x, home.x), home.x + home.w - w),
      y: Math.min(Math.max(y, home.y), home.y + home.h - h),
      w, h,
    };
    svg.setAttribute("viewBox", `${view.x} ${view.y} ${view.w} ${view.h}`);
    box.classList.toggle("zoomed", w < home.w);
    show(-1);
  }

  function zoom(factor, px, py) { // what is at (px, py) on the screen stays there
    const r = svg.getBoundingClientRect(), w = Math.min(home.w, Math.max(home.w / MOST, view.w / factor));
    const u = px === undefined ? 0.5 : (px - r.left) / r.width, v = py === undefined ? 0.5 : (py - r.top) / r.height;
    move(view.x + u * (view.w - w), view.y + v * (view.h - (w * home.h) / home.w), w);
  }

  svg.addEventListener("pointermove", (event) => {
    if (!drag) return show(nearest(event.clientX, event.clientY));
    const scale = view.w / svg.getBoundingClientRect().width;
    move(drag.x - (event.clientX - drag.px) * scale, drag.y - (event.clientY - drag.py) * scale, view.w);
  });
  svg.addEventListener("pointerdown", (event) => {
    if (view.w === home.w) return show(nearest(event.clientX, event.clientY));
    svg.setPointerCapture(event.pointerId);
    drag = { px: event.clientX, py: event.clientY, x: view.x, y: view.y };
  });
  for (const end of ["pointerup", "pointercancel"]) svg.addEventListener(end, () => (drag = null));
  svg.addEventListener("pointerleave", () => show(-1));
  svg.addEventListener("dblclick", (event) => zoom(2, event.clientX, event.clientY));
  svg.addEventListener("wheel", (event) => { // without Ctrl the page scrolls; a pinch on a touchpad comes with it
    if (!event.ctrlKey) return;
    event.preventDefault();
    zoom(event.deltaY < 0 ? 1.15 : 1 / 1.15, event.clientX, event.clientY);
  }, { passive: false });
  box.addEventListener("keydown", (event) => {
    const way = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (way && marks.length) show((at + way + marks.length + (at < 0 && way < 0)) % marks.length);
    else if (event.key === "+") zoom(STEP);
    else if (event.key === "-") zoom(1 / STEP);
    else if (event.key === "0") move(home.x, home.y, home.w);
    else if (event.key === "Escape") show(-1);
    else return;
    event.preventDefault();
  });
  box.addEventListener("blur", () => show(-1));
  const tools = box.parentNode.querySelector(".tools"), [closer, farther, all] = tools.children;
  closer.addEventListener("click", () => zoom(STEP));
  farther.addEventListener("click", () => zoom(1 / STEP));
  all.addEventListener("click", () => move(home.x, home.y, home.w));
  tools.hidden = false;
}

// Commands and the spec: a button copies them; where the browser has no clipboard for this page, it selects them.
function command(box) {
  const text = box.querySelector("pre"), button = box.querySelector("button");
  button.addEventListener("click", async () => {
    let done = "Copied";
    try {
      await navigator.clipboard.writeText(text.textContent);
    } catch {
      getSelection().selectAllChildren(text);
      done = "Selected";
    }
    button.textContent = done;
    setTimeout(() => (button.textContent = "Copy"), 2000);
  });
  button.hidden = false;
}

document.querySelectorAll(".paper").forEach(figure);
document.querySelectorAll(".command").forEach(command);
