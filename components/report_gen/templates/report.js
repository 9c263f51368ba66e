"use strict";

// Tabs: one genre's panel at a time. Without this script, and in print, all are shown.
const tabs = [...document.querySelectorAll('[role="tab"]')];

function select(tab, focus) {
  for (const other of tabs) {
    const chosen = other === tab;
    other.setAttribute("aria-selected", String(chosen));
    other.tabIndex = chosen ? 0 : -1;
    document.getElementById(other.getAttribute("aria-controls")).hidden = !chosen;
  }
  if (focus) tab.focus();
}

tabs.forEach((tab, place) => {
  tab.addEventListener("click", () => select(tab, false));
  tab.addEventListener("keydown", (event) => {
    const moves = { ArrowRight: place + 1, ArrowLeft: place - 1, Home: 0, End: tabs.length - 1 };
    if (!(event.key in moves)) return;
    event.preventDefault();
    select(tabs[(moves[event.key] + tabs.length) % tabs.length], true);
  });
});
if (tabs.length) select(tabs[0], false);

// With many genres, a list to choose from instead of tabs.
const choice = document.getElementById("genre-choice");
if (choice) {
  const panels = [...document.querySelectorAll("[data-genre]")];
  const show = () => panels.forEach((panel) => (panel.hidden = panel.dataset.genre !== choice.value));
  choice.addEventListener("change", show);
  show();
}

// The threshold explorer: counts at each threshold come with the page, ratios follow from them.
function ratio(part, whole) {
  return whole === 0 ? 0 : part / whole;
}

function measure(row) {
  const { true_positives: tp, false_positives: fp, false_negatives: fn, true_negatives: tn } = row;
  return {
    precision: ratio(tp, tp + fp),
    recall: ratio(tp, tp + fn),
    f1: ratio(2 * tp, 2 * tp + fp + fn),
    false_positive_rate: ratio(fp, fp + tn),
  };
}

function marker(figure) {
  const circle = document.createElementNS("http://www.w3.org/2000/svg", "circle");
  circle.setAttribute("class", "marker");
  circle.setAttribute("r", "6");
  figure.querySelector("svg").append(circle);
  return (x, y) => {
    const { left, top, size } = figure.dataset;
    circle.setAttribute("cx", Number(left) + x * Number(size));
    circle.setAttribute("cy", Number(top) + (1 - y) * Number(size));
  };
}

function explore(panel, genre) {
  const rows = genre.threshold.map((threshold, place) => ({
    threshold,
    true_positives: genre.true_positives[place],
    false_positives: genre.false_positives[place],
    false_negatives: genre.false_negatives[place],
    true_negatives: genre.true_negatives[place],
  }));
  const own = rows.findIndex((row) => row.threshold === genre.model_threshold);
  const slider = panel.querySelector('input[type="range"]');
  const curves = {};
  for (const name of ["precision_recall", "roc"]) {
    const figure = panel.querySelector(`[data-curve="${name}"]`);
    if (figure) curves[name] = marker(figure);
  }
  function show() {
    const row = rows[Number(slider.value)];
    const metrics = measure(row);
    for (const place of panel.querySelectorAll("[data-value]")) {
      const name = place.dataset.value;
      if (name === "threshold") place.textContent = row.threshold.toFixed(2);
      else if (name in metrics) place.textContent = metrics[name].toFixed(3);
      else place.textContent = row[name].toLocaleString("en");
    }
    slider.setAttribute("aria-valuetext", row.threshold.toFixed(2));
    if (curves.precision_recall) curves.precision_recall(metrics.recall, metrics.precision);
    if (curves.roc) curves.roc(metrics.false_positive_rate, metrics.recall);
  }
  slider.addEventListener("input", show);
  panel.querySelector(".reset").addEventListener("click", () => {
    slider.value = String(own);
    show();
  });
  slider.value = String(own);
  show();
}

const data = document.getElementById("thresholds-data");
if (data) {
  const genres = JSON.parse(data.textContent);
  for (const panel of document.querySelectorAll("[data-genre]")) {
    explore(panel, genres[Number(panel.dataset.genre)]);
  }
}
// The map of the covers: one genre at a time, and each cover in words.
const map = document.querySelector(".map svg");
if (map) {
  const points = [...map.querySelectorAll("use")];
  const marks = points.map((point) => point.getAttribute("href"));
  const words = document.getElementById("map-cover");
  const genre = document.getElementById("map-genre");
  let shown = null;

  const show = (point) => {
    shown?.classList.remove("shown");
    shown = point;
    point.classList.add("shown");
    words.textContent = point.querySelector("title").textContent;
  };
  const at = (point) => [Number(point.getAttribute("x")), Number(point.getAttribute("y"))];

  // The nearest cover within 45 degrees of a direction.
  const next = (dx, dy) => {
    const [x, y] = at(shown);
    let best = null;
    let least = Infinity;
    for (const point of points) {
      const along = (at(point)[0] - x) * dx + (at(point)[1] - y) * dy;
      const aside = Math.abs((at(point)[0] - x) * dy) + Math.abs((at(point)[1] - y) * dx);
      if (along > 0 && aside <= along && along + aside < least) {
        best = point;
        least = along + aside;
      }
    }
    return best;
  };
  const moves = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  map.tabIndex = 0;
  map.addEventListener("keydown", (event) => {
    if (!(event.key in moves)) return;
    event.preventDefault();
    const found = shown ? next(...moves[event.key]) : points[0];
    if (found) show(found);
  });
  map.addEventListener("pointerover", (event) => {
    const point = event.target.closest("use");
    if (point) show(point);
  });

  genre.closest(".choice").hidden = false;
  genre.addEventListener("change", () => {
    const all = genre.value === "";
    map.classList.toggle("one", !all);
    document.querySelector(".map-all").hidden = !all;
    document.querySelector(".map-one").hidden = all;
    points.forEach((point, place) => {
      const is = point.classList.contains(`t${genre.value}`);
      const decided = point.classList.contains(`d${genre.value}`);
      point.classList.toggle("hit", is && decided);
      point.classList.toggle("missed", is && !decided);
      point.classList.toggle("wrong", !is && decided);
      const mark = is ? (decided ? "right" : "wrong") : decided ? "partly" : "other";
      point.setAttribute("href", all ? marks[place] : `#map-${mark}`);
    });
  });
}
window.addEventListener("beforeprint", () => {
  for (const details of document.querySelectorAll("details")) details.open = true;
});
