"use strict";
// The plots of quality against cost, drawn anew without the methods that are hidden: the same axes, front and places of
// names as charts.py draws for the methods that are left.

const SVG = "http://www.w3.org/2000/svg";
const LETTER = 6.3, LINE = 13;

function svg(name, attributes, text) {
  const node = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  if (text !== undefined) node.textContent = text;
  return node;
}

function decades(costs) {
  const low = Math.floor(Math.log10(Math.min(...costs)));
  return [low, Math.max(Math.ceil(Math.log10(Math.max(...costs))), low + 1)];
}

function roundTicks(values, count = 5) {
  const low = Math.min(...values), high = Math.max(...values);
  const spread = Math.max(high - low, 1e-9 + 0.02 * Math.abs(high));
  let step = 10 ** Math.floor(Math.log10(spread / count));
  step *= [1, 2, 5, 10].find((factor) => spread / (factor * step) <= count);
  const first = Math.floor(low / step - 0.2), last = Math.ceil(high / step + 0.2);
  return [...Array(last - first + 1).keys()].map((i) => Number(((first + i) * step).toFixed(10)));
}

function secondsOf(power) {
  return power >= -3 && power < 0 ? `${10 ** (power + 3)} ms` : `${Number((10 ** power).toPrecision(6))} s`;
}

function frontOf(points, lower) {
  const good = (p) => (lower ? -p.score : p.score);
  const rivals = points.filter((p) => p.kind !== "bound").sort((a, b) => a.cost - b.cost || good(b) - good(a));
  return rivals.filter((p, i) => rivals.slice(0, i).every((earlier) => good(earlier) < good(p)));
}

function staircase(front) {
  return front.map((p, i) => (i ? `${p.x},${front[i - 1].y} ` : "") + `${p.x},${p.y}`).join(" ");
}

// The first place beside a mark where a name covers the least of marks and other names, within the plot if possible.
function placeNames(points, [left, , , bottom], width) {
  const taken = points.map((p) => [p.x - 7, p.y - 7, p.x + 7, p.y + 7]);
  const inside = (box) => box[0] >= left && box[2] <= width && box[1] >= 0 && box[3] <= bottom;
  const shared = (a, b, i) => Math.max(Math.min(a[i + 2], b[i + 2]) - Math.max(a[i], b[i]), 0);
  const covered = (box) => taken.reduce((sum, other) => sum + shared(box, other, 0) * shared(box, other, 1), 0);
  const cost = (box) => covered(box) + (inside(box) ? 0 : 1e9);
  for (const p of points) {
    const wide = p.name.textContent.length * LETTER;
    const corners = [[9, -7], [-9 - wide, -7], [-wide / 2, -22], [-wide / 2, 9]];
    for (const side of [9, -9 - wide]) for (const down of [6, -20, 18, -32, 30, -44]) corners.push([side, down]);
    for (const down of [-22, 9, -35, 22]) corners.push([width - wide - p.x, down]);
    const boxes = corners.map(([dx, dy]) => [p.x + dx, p.y + dy, p.x + dx + wide, p.y + dy + LINE]);
    const box = boxes.reduce((best, other) => (cost(other) < cost(best) ? other : best));
    taken.push(box);
    p.name.setAttribute("x", box[0]);
    p.name.setAttribute("y", box[3] - 3);
  }
}

function drawPlot(plot) {
  const box = plot.dataset.box.split(" ").map(Number), [left, top, right, bottom] = box;
  const names = [...plot.querySelectorAll(".label")];
  const points = [...plot.querySelectorAll(".point")].map((node, i) => ({ node, name: names[i], kind: node.dataset.kind,
    cost: Number(node.dataset.cost), score: Number(node.dataset.score) })).filter((p) => !p.node.hasAttribute("hidden"));
  const lines = plot.querySelector(".ticks-of-axes"), front = plot.querySelector(".front");
  lines.replaceChildren();
  front.setAttribute("points", "");
  if (!points.length) return;
  const [low, high] = decades(points.map((p) => p.cost)), ticks = roundTicks(points.map((p) => p.score));
  const x = (cost) => left + ((Math.log10(cost) - low) / (high - low)) * (right - left);
  const y = (score) => bottom - ((score - ticks[0]) / (ticks.at(-1) - ticks[0])) * (bottom - top);
  for (let power = low; power <= high; power++) {
    const at = x(10 ** power);
    lines.append(svg("line", { x1: at, x2: at, y1: top, y2: bottom, class: "grid" }),
      svg("text", { x: at, y: bottom + 15, "text-anchor": "middle" }, secondsOf(power)));
  }
  for (const value of ticks) {
    lines.append(svg("line", { x1: left, x2: right, y1: y(value), y2: y(value), class: "grid" }),
      svg("text", { x: left - 6, y: y(value) + 4, "text-anchor": "end" }, String(value)));
  }
  for (const p of points) {
    [p.x, p.y] = [x(p.cost), y(p.score)];
    p.node.setAttribute("transform", `translate(${p.x - Number(p.node.dataset.x)} ${p.y - Number(p.node.dataset.y)})`);
  }
  const best = frontOf(points, plot.dataset.lower === "true");
  if (best.length > 1) front.setAttribute("points", staircase(best));
  placeNames(points, box, plot.viewBox.baseVal.width);
}

