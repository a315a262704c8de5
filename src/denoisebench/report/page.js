// Text reaches the page as text nodes only (textContent): no name of a file or a method is ever read as HTML.

const byId = (id) => document.getElementById(id);

function make(name, properties = {}, ...children) {
  const node = document.createElement(name);
  Object.assign(node, properties);
  node.append(...children);
  return node;
}

// --- Tables ---------------------------------------------------------------------------------------------------------

function valueOf(row, column) {
  const cell = row.cells[column];
  const text = cell ? (cell.dataset.value ?? cell.textContent) : "";
  const number = text === "" || text === "inf" ? (text === "" ? NaN : Infinity) : Number(text);
  return { text, number };
}

function compareRows(one, other, column, sign) {
  const a = valueOf(one, column), b = valueOf(other, column);
  const empty = (value) => value.text === "";
  if (empty(a) !== empty(b)) return empty(a) ? 1 : -1;
  const order = Number.isNaN(a.number) || Number.isNaN(b.number) ? a.text.localeCompare(b.text) : a.number - b.number;
  return sign * order;
}

function sortBy(button) {
  const head = button.closest("th"), table = head.closest("table");
  const first = head.classList.contains("number") ? "descending" : "ascending";
  const other = first === "descending" ? "ascending" : "descending";
  const direction = head.getAttribute("aria-sort") === first ? other : first;
  table.querySelectorAll("thead th[aria-sort]").forEach((th) => th.setAttribute("aria-sort", "none"));
  head.setAttribute("aria-sort", direction);
  // A merged cell (a refused comparison) shifts the cells after it; only whole rows are compared by column.
  const column = head.cellIndex, sign = direction === "ascending" ? 1 : -1;
  for (const body of table.tBodies) {
    const rows = [...body.rows].filter((row) => !row.classList.contains("divider"));
    rows.sort((a, b) => compareRows(a, b, column, sign)).forEach((row) => body.append(row));
  }
}

// Whatever belongs to a method says so: lines of tables, points and names in plots.
function filterMethods() {
  const wanted = byId("search").value.trim().toLowerCase();
  const hidden = [...document.querySelectorAll(".chip[aria-pressed=true]")].map((chip) => chip.dataset.tag);
  for (const node of document.querySelectorAll("[data-method]")) {
    const tags = node.dataset.tags ? node.dataset.tags.split("\n") : [];
    const named = node.dataset.method.toLowerCase().includes(wanted);
    node.toggleAttribute("hidden", !named || hidden.some((tag) => tags.includes(tag)));
  }
  document.querySelectorAll("svg[data-box]").forEach(drawPlot);
  document.querySelectorAll(".scroll").forEach(tellScroll);
}

// A table that goes on beyond the screen's edge says so.
function tellScroll(box) {
  const more = box.scrollWidth - box.clientWidth - box.scrollLeft > 2;
  box.nextElementSibling?.toggleAttribute("hidden", !more);  // none once it was drawn anew
}

function startScroll(box) {
  box.after(make("p", { className: "hint more", textContent: "the table goes on to the right \u2192", hidden: true }));
  box.addEventListener("scroll", () => tellScroll(box), { passive: true });
  new ResizeObserver(() => tellScroll(box)).observe(box);
}

// What a link leads to comes to lie below the bar, however many lines the bar has.
function startBar() {
  const bar = byId("filter");
  const measure = () => {
    const height = getComputedStyle(bar).position === "sticky" ? bar.offsetHeight : 0;
    document.documentElement.style.scrollPaddingTop = `${height + 12}px`;
  };
  new ResizeObserver(measure).observe(bar);
  measure();
}

function startTables() {
  document.querySelectorAll("table.sortable thead button").forEach((b) => b.addEventListener("click", () => sortBy(b)));
  byId("filter").hidden = false;
  startBar();
  document.querySelectorAll(".scroll").forEach(startScroll);
  byId("search").addEventListener("input", filterMethods);
  for (const chip of document.querySelectorAll(".chip")) {
    chip.addEventListener("click", () => {
      chip.setAttribute("aria-pressed", String(chip.getAttribute("aria-pressed") !== "true"));
      filterMethods();
    });
  }
}

// --- Viewer ---------------------------------------------------------------------------------------------------------

const NOISY = -1, CLEAN = -2;
const state = { group: 0, image: 0, left: NOISY, right: 0, mode: "slide", split: 0.5, flipped: false, gain: 4,
  scale: 1, x: 0, y: 0, width: 0, height: 0 };
let groups = [];

const groupNow = () => groups[state.group];
const imageNow = () => groupNow().images[state.image];

function addressOf(which) {
  const group = groupNow(), image = imageNow();
  if (which === NOISY) return group.inputs + image.noisy;
  if (which === CLEAN) return image.clean === null ? null : group.inputs + image.clean;
  return group.methods[which].base + image.file;
}

function nameOf(which) {
  if (which === NOISY) return "noisy";
  if (which === CLEAN) return "clean";
  const psnr = imageNow().psnr[which], ssim = imageNow().ssim[which];
  const scores = psnr === null ? "" : ` ${Number(psnr).toFixed(2)} dB` + (ssim === null ? "" : ` / ${Number(ssim).toFixed(4)}`);
  return groupNow().methods[which].name + scores + (imageNow().more?.[which] ?? "");
}

const choices = () => [NOISY, ...groupNow().methods.keys(), ...(imageNow().clean === null ? [] : [CLEAN])];

function fill(select, options, value) {
  select.replaceChildren(...options.map(([key, text]) => make("option", { value: String(key), textContent: text })));
  select.value = String(value);
}

function ordered() {
  const images = groupNow().images;
  const indices = [...images.keys()];
  const known = (i) => images[i].psnr.filter((value) => typeof value === "number");
  const mean = (i) => known(i).reduce((sum, value) => sum + value, 0) / Math.max(known(i).length, 1);
  const apart = (i) => Math.max(...known(i), 0) - Math.min(...known(i), Infinity);
  if (byId("order").value === "hard") indices.sort((a, b) => mean(a) - mean(b));
  if (byId("order").value === "apart") indices.sort((a, b) => apart(b) - apart(a));
  return indices;
}

function picture(which, className, onReady) {
  const image = make("img", { alt: nameOf(which), draggable: false, className: className || "", decoding: "async" });
  image.addEventListener("load", () => onReady(image));
  image.addEventListener("error", () => image.closest(".pane")?.append(make("span", {
    className: "caption missing", textContent: "the kept image is not beside this page; the crops below are" })));
  image.src = addressOf(which);
  return image;
}

function sized(image) {
  if (!state.width) {
    state.width = image.naturalWidth;
    state.height = image.naturalHeight;
    fit();
  }
}

function pane(pictures, caption, captionClass) {
  const layers = make("div", { className: "layers" }, ...pictures.map(([which, name]) => picture(which, name, sized)));
  const label = make("span", { className: "caption " + (captionClass || ""), textContent: caption });
  return make("div", { className: "pane" }, layers, label);
}

const VIEWS = {
  slide() {
    const over = pane([[state.left, ""]], nameOf(state.left));
    over.id = "over";
    return [pane([[state.right, ""]], nameOf(state.right), "right"), over, divider()];
  },
  flip() {
    const panes = [state.left, state.right].map((which) => pane([[which, ""]], nameOf(which)));
    panes[state.flipped ? 0 : 1].hidden = true;
    return panes;
  },
  all() {
    return choices().map((which) => pane([[which, ""]], nameOf(which)));
  },
  // Blending does the arithmetic: |B - clean|, brightened.
  error() {
    const chosen = [state.left, state.right].filter((which) => which !== CLEAN);
    if (imageNow().clean === null) return [pane([], "there is no clean image to differ from")];
    const panes = chosen.map((which) => pane([[CLEAN, ""], [which, "difference"]], `|${nameOf(which)} − clean|`));
    panes.forEach((one) => (one.querySelector(".layers").style.filter = `brightness(${state.gain})`));
    return panes;
  },
  // Half the noisy image and half the denoised one's negative: 1/2 + (noisy - denoised) / 2, then spread about 1/2.
  residual() {
    const chosen = [state.left, state.right].filter((which) => which !== NOISY);
    const panes = chosen.map((which) => pane([[NOISY, ""], [which, "half"]], `noisy − ${nameOf(which)}`));
    panes.forEach((one) => (one.querySelector(".layers").style.filter = `contrast(${state.gain})`));
    return panes;
  },
};

function divider() {
  const handle = make("div", { id: "divider", tabIndex: 0 });
  handle.setAttribute("role", "slider");
  handle.setAttribute("aria-label", "how much of A is shown");
  handle.addEventListener("pointerdown", (event) => {
    event.stopPropagation();
    handle.setPointerCapture(event.pointerId);
  });
  handle.addEventListener("pointermove", (event) => {
    if (!handle.hasPointerCapture(event.pointerId)) return;
    const box = byId("stage").getBoundingClientRect();
    split((event.clientX - box.left) / box.width);
  });
  handle.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -0.05, ArrowRight: 0.05 }[event.key];
    if (step) { event.stopPropagation(); event.preventDefault(); split(state.split + step); }
  });
  return handle;
}

function split(value) {
  state.split = Math.min(1, Math.max(0, value));
  const over = byId("over"), handle = byId("divider");
  if (!over) return;
  over.style.clipPath = `inset(0 ${100 * (1 - state.split)}% 0 0)`;
  handle.style.left = `${100 * state.split}%`;
  handle.setAttribute("aria-valuenow", String(Math.round(100 * state.split)));
}

// All panes share one scale and one offset: what is zoomed in one is zoomed in all.
function place() {
  const transform = `translate(${state.x}px, ${state.y}px) scale(${state.scale})`;
  document.querySelectorAll("#stage .layers").forEach((layers) => {
    layers.style.transform = transform;
    layers.style.width = `${state.width}px`;
    layers.style.height = `${state.height}px`;
  });
  byId("zoom").textContent = `${Math.round(100 * state.scale)} %`;
}

function paneSize() {
  const box = document.querySelector("#stage .pane")?.getBoundingClientRect();
  return box ? [box.width, box.height] : [1, 1];
}

function fit() {
  const [width, height] = paneSize();
  if (state.width) look(0, 0, state.width, state.height, width, height);
}

function look(x, y, width, height, across, down) {
  state.scale = Math.min(across / width, down / height);
  state.x = across / 2 - (x + width / 2) * state.scale;
  state.y = down / 2 - (y + height / 2) * state.scale;
  place();
}

function zoomAt(x, y, factor) {
  const scale = Math.min(64, Math.max(0.05, state.scale * factor));
  state.x = x - ((x - state.x) * scale) / state.scale;
  state.y = y - ((y - state.y) * scale) / state.scale;
  state.scale = scale;
  place();
}

function draw() {
  const stage = byId("stage");
  stage.className = { all: "all", error: "pair", residual: "pair" }[state.mode] || "";
  stage.replaceChildren(...VIEWS[state.mode]());
  byId("gain-label").hidden = !["error", "residual"].includes(state.mode);
  document.querySelectorAll("#modes button").forEach((b) => b.setAttribute("aria-pressed", String(b.dataset.mode === state.mode)));
  split(state.split);
  place();
}

function drawTold() {
  const image = imageNow(), count = groupNow().images.length;
  byId("told").textContent = `${image.name}: image ${state.image + 1} of ${count}, ` +
    (image.clean === null ? "without a clean image. " : `scored under ${groupNow().protocol}. `) +
    "Wheel, pinch or + and − zoom all panes together; drag to move; space flips; left and right arrows change the image.";
}

function drawCrops() {
  const image = imageNow();
  if (image.problem) return byId("crops").replaceChildren(make("p", { className: "hint", textContent: `no crops: ${image.problem}` }));
  if (!image.sheet) {
    const hint = "Crops and residuals of this image were not computed: denoisebench report --pictures all computes them.";
    return byId("crops").replaceChildren(make("p", { className: "hint", textContent: hint }));
  }
  const table = make("table", {}, make("tr", {}, ...choices().map((which) => make("th", { textContent: nameOf(which) }))));
  image.crops.forEach((corner, row) => {
    table.append(make("tr", {}, ...choices().map((which, column) => make("td", {}, crop(row, column, corner)))));
    if (image.clean !== null) {
      const last = choices().length - 1;
      table.append(make("tr", {}, ...choices().slice(0, -1).map((_, column) => make("td", {}, errorCrop(row, column, last)))));
    }
  });
  const title = make("h3", { textContent: image.clean === null ? "Crops where the methods differ" : "Hardest crops" });
  const hint = make("p", { className: "hint", textContent:
    (image.clean === null ? "Where the methods differ most from each other (there is no clean image to differ from)."
      : "Where the mean squared error of the methods is greatest; below each its absolute error, times 4.") + " A click zooms there." });
  const box = make("div", { className: "scroll" }, table);
  byId("crops").replaceChildren(title, hint, box);
  startScroll(box);
}

const CROP = 128;

function sheetStyle(node, row, columns) {
  const image = imageNow(), address = `url("${image.sheet}")`, count = choices().length;
  node.style.backgroundImage = columns.map(() => address).join(", ");
  node.style.backgroundSize = `${count * CROP}px ${image.crops.length * CROP}px`;
  node.style.backgroundPosition = columns.map((column) => `${-column * CROP}px ${-row * CROP}px`).join(", ");
  return node;
}

function crop(row, column, [x, y]) {
  const button = make("button", { type: "button", className: "crop", title: `zoom to column ${x}, row ${y}` });
  button.addEventListener("click", () => {
    const [width, height] = paneSize(), side = imageNow().side;
    look(x, y, side, side, width, height);
    byId("stage").scrollIntoView({ block: "nearest" });
  });
  return sheetStyle(button, row, [column]);
}

function errorCrop(row, column, last) {
  const node = sheetStyle(make("span", { className: "crop difference-crop", title: "absolute error, times 4" }), row, [column, last]);
  node.style.backgroundBlendMode = "difference";
  node.style.filter = "brightness(4)";
  return node;
}

function drawResiduals() {
  const image = imageNow(), target = byId("residuals");
  if (!image.residual) return target.replaceChildren();
  const named = image.residual.map((one, i) => [groupNow().methods[i].name, one]).filter(([, one]) => one);
  if (image.true) named.unshift(["the noise itself (noisy − clean)", image.true]);
  const title = make("h3", { textContent: "What was taken away: noisy − denoised" });
  const hint = make("p", { className: "hint", textContent:
    "Mean and standard deviation in 8-bit grey levels, autocorrelation at (down, right) pixels, from the kept 8-bit, clipped noisy " +
    "image. A denoiser that takes noise alone leaves the noise's own table; structure of the image shows as more." });
  target.replaceChildren(title, hint, make("div", { className: "lag-tables" }, ...named.map(lagTable)));
}

function lagTable([name, one]) {
  const side = Math.round(Math.sqrt(one.lags.length));
  const rows = [...Array(side).keys()].map((dy) => make("tr", {}, ...one.lags.slice(dy * side, (dy + 1) * side).map((value) => {
    const cell = make("td", { textContent: value.toFixed(2) });
    const colour = value < 0 ? "213, 94, 0" : "0, 114, 178";
    cell.style.background = `rgba(${colour}, ${Math.min(Math.abs(value), 1) * 0.55})`;
    return cell;
  })));
  const caption = make("figcaption", { textContent: `${name}: mean ${one.mean.toFixed(2)}, std ${one.std.toFixed(2)}` });
  return make("figure", {}, caption, make("table", { className: "lags" }, ...rows));
}

function show(image) {
  state.image = image;
  state.width = state.height = 0;
  offerWhatThereIs();
  fill(byId("image"), ordered().map((i) => [i, groupNow().images[i].name + (groupNow().images[i].sheet ? "" : " (no crops)")]), image);
  const known = choices();
  if (!known.includes(state.left)) state.left = NOISY;
  if (!known.includes(state.right)) state.right = known[Math.min(1, known.length - 1)];
  for (const side of ["left", "right"]) fill(byId(side), known.map((which) => [which, nameOf(which)]), state[side]);
  draw();
  drawTold();
  drawCrops();
  drawResiduals();
}

// Images with crops first: they show what the viewer can do.
function first() {
  const order = ordered();
  return order.find((i) => groupNow().images[i].sheet) ?? order[0];
}

// Without clean images there is no error to show, and without scores no order by them.
function offerWhatThereIs() {
  const scored = groupNow().images.some((image) => image.psnr.some((value) => value !== null));
  byId("order").parentElement.hidden = !scored;
  if (!scored) byId("order").value = "set";
  document.querySelector("[data-mode=error]").hidden = imageNow().clean === null;
  if (imageNow().clean === null && state.mode === "error") state.mode = "slide";
}

function step(by) {
  const order = ordered(), at = order.indexOf(state.image);
  show(order[(at + by + order.length) % order.length]);
}

function startViewer() {
  fill(byId("group"), groups.map((group, i) => [i, `${group.dataset}, ${group.noise}`]), 0);
  byId("viewer").hidden = false;
  byId("group").addEventListener("change", (event) => { state.group = Number(event.target.value); show(first()); });
  byId("image").addEventListener("change", (event) => show(Number(event.target.value)));
  byId("order").addEventListener("change", () => show(ordered()[0]));
  byId("previous").addEventListener("click", () => step(-1));
  byId("next").addEventListener("click", () => step(1));
  byId("fit").addEventListener("click", fit);
  byId("gain").addEventListener("input", (event) => { state.gain = Number(event.target.value); draw(); });
  for (const side of ["left", "right"]) {
    byId(side).addEventListener("change", (event) => { state[side] = Number(event.target.value); draw(); });
  }
  document.querySelectorAll("#modes button").forEach((button) => button.addEventListener("click", () => {
    if (state.mode === "flip" && button.dataset.mode === "flip") state.flipped = !state.flipped;
    const before = String(paneSize());
    state.mode = button.dataset.mode;
    draw();
    if (String(paneSize()) !== before) fit();
  }));
  startStage(byId("stage"));
  const rivals = [...groupNow().methods.keys()].filter((i) => !groupNow().methods[i].tags.includes("supervised"));
  state.right = rivals.at(-1) ?? CLEAN;
  show(first());
}

function startStage(stage) {
  const fingers = new Map();
  const local = (event) => {
    const box = (event.target.closest?.(".pane") || stage).getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };
  stage.addEventListener("wheel", (event) => {
    event.preventDefault();
    zoomAt(...local(event), Math.exp(-event.deltaY / 400));
  }, { passive: false });
  stage.addEventListener("pointerdown", (event) => {
    fingers.set(event.pointerId, [event.clientX, event.clientY]);
    stage.setPointerCapture(event.pointerId);
  });
  stage.addEventListener("pointermove", (event) => {
    const last = fingers.get(event.pointerId);
    if (!last) return;
    const other = [...fingers].find(([id]) => id !== event.pointerId)?.[1];
    const now = [event.clientX, event.clientY];
    if (other) {
      const apart = (point) => Math.hypot(point[0] - other[0], point[1] - other[1]);
      const box = stage.getBoundingClientRect();
      zoomAt((now[0] + other[0]) / 2 - box.left, (now[1] + other[1]) / 2 - box.top, apart(now) / Math.max(apart(last), 1));
    } else {
      state.x += now[0] - last[0];
      state.y += now[1] - last[1];
      place();
    }
    fingers.set(event.pointerId, now);
  });
  for (const name of ["pointerup", "pointercancel"]) stage.addEventListener(name, (event) => fingers.delete(event.pointerId));
  stage.addEventListener("keydown", (event) => {
    const [width, height] = paneSize();
    const acts = { ArrowLeft: () => step(-1), ArrowRight: () => step(1), "+": () => zoomAt(width / 2, height / 2, 1.25),
      "-": () => zoomAt(width / 2, height / 2, 0.8), 0: fit, " ": flip };
    if (acts[event.key]) { event.preventDefault(); acts[event.key](); }
  });
}

function flip() {
  state.flipped = state.mode === "flip" ? !state.flipped : state.flipped;
  state.mode = "flip";
  draw();
}

startTables();
groups = JSON.parse(byId("data").textContent).filter((group) => group.images.length);
if (groups.length) startViewer();
