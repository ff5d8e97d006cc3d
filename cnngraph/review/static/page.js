// One person's look at the filters of a model. What is shown is said by the address (/layer/NAME/filter/7, /layer/NAME, /summary);
// what was decided is in choices.js, what a lens draws in lenses.js.

import { Choices, current } from "./choices.js";
import { find, make, put, query, table, WORDS, written } from "./dom.js";
import { Grid } from "./grid.js";
import { absent, draw, LENSES, path, share } from "./lenses.js";

const KEPT = 12; // filters that stay loaded
const loaded = new Map();
let start;
let choices;
let grid;
let lens = "images";
let here = null; // {layer, channel} of the filter that is open
let view = "filter";
let open = true; // whether more can be decided
const trouble = { page: "", store: "" };
let lost = false; // whether what the address names could not be had, for a reason that may pass

async function ask(address) {
  const response = await fetch(address);
  const answer = await response.json().catch(() => ({}));
  if (response.ok) return answer;
  const error = new Error(`${answer.error ?? "Open the address that cnngraph review has printed."} ${answer.hint ?? ""}`);
  error.final = response.status < 500;
  throw error;
}

async function begin() {
  if (location.search) history.replaceState(null, "", location.pathname); // the token is used up
  start = await current(() => ask("/api/start"));
  choices = new Choices(start, onStored);
  choices.onElsewhere = refresh;
  grid = new Grid(choices, goTo, picture);
  put(find("layer"), ...start.layers.map((one) => make("option", { value: one.layer }, one.layer)));
  put(find("lenses"), ...LENSES.map(([name, words], at) =>
    make("button", { type: "button", "data-lens": name, on: { click: () => look(name) } }, `${words} `, make("kbd", {}, String(at + 1)))));
  listen();
  await route();
  choices.send();
}

function listen() {
  for (const decision of ["keep", "drop", "unknown"]) find(decision).addEventListener("click", () => decide(decision));
  find("undo").addEventListener("click", undo);
  find("next").addEventListener("click", () => step(1));
  find("previous").addEventListener("click", () => step(-1));
  find("to-filter").addEventListener("click", toFilter);
  find("to-grid").addEventListener("click", toGrid);
  find("to-summary").addEventListener("click", toSummary);
  find("to-help").addEventListener("click", () => find("help").showModal());
  find("layer").addEventListener("change", () => {
    const layer = find("layer").value;
    if (view === "grid") visit(`/layer/${encodeURIComponent(layer)}`);
    else goTo(layer, (nextOpen(start.order.findIndex(([at]) => start.layers[at].layer === layer) - 1, layer) ?? { channel: 0 }).channel);
  });
  window.addEventListener("popstate", route);
  document.addEventListener("keydown", onKey);
  document.addEventListener("click", (event) => {
    const link = event.target.closest?.("#lens a, #last a");
    if (!link || event.metaKey || event.ctrlKey) return;
    event.preventDefault();
    visit(link.getAttribute("href"));
  });
}

const KEYS = {
  k: () => decide("keep"), d: () => decide("drop"), u: () => decide("unknown"), z: undo,
  n: () => step(1), ArrowRight: () => step(1), p: () => step(-1), ArrowLeft: () => step(-1),
  g: toGrid, s: toSummary, f: toFilter, "?": () => find("help").showModal(),
};

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || find("help").open) return;
  if (event.target.matches?.("select, input:not([type=checkbox]), textarea")) return;
  const number = Number(event.key);
  if (view === "filter" && number >= 1 && number <= LENSES.length) look(LENSES[number - 1][0]);
  else if (view === "grid" && grid.key(event.key)) { /* it was for a tile */ }
  else if (KEYS[event.key]) KEYS[event.key]();
  else return;
  event.preventDefault();
}

// Where to go.

function visit(address) {
  history.pushState(null, "", address);
  return route();
}

const goTo = (layer, channel) => visit(path(layer, channel));

function toGrid() {
  return visit(`/layer/${encodeURIComponent(here?.layer ?? find("layer").value)}`);
}

function toSummary() {
  return visit("/summary");
}

function toFilter() {
  const at = here ?? nextOpen(-1) ?? at0();
  return goTo(at.layer, at.channel);
}

const at0 = () => ({ layer: start.layers[start.order[0][0]].layer, channel: start.order[0][1] });

async function route() {
  const found = location.pathname.match(/^\/layer\/(.+?)(?:\/filter\/(\d+))?$/);
  complain("");
  lost = false;
  try {
    if (location.pathname === "/summary") await showSummary();
    else if (found && found[2] === undefined) await showGrid(decodeURIComponent(found[1]));
    else if (found) await showFilter(decodeURIComponent(found[1]), Number(found[2]));
    else {
      const first = nextOpen(-1) ?? at0();
      history.replaceState(null, "", path(first.layer, first.channel));
      await showFilter(first.layer, first.channel);
    }
  } catch (error) {
    lost = !error.final;
    complain(error.message);
  }
  drawAround();
}

function show(name) {
  view = name;
  for (const one of ["filter", "grid", "summary"]) {
    find(one).hidden = one !== name;
    find(`to-${one}`).setAttribute("aria-pressed", String(one === name));
  }
}

// One filter.

function load(layer, channel) {
  const key = `${layer} ${channel}`;
  if (!loaded.has(key)) {
    const asked = ask(`/api/filter?${new URLSearchParams({ layer, channel })}`);
    asked.catch(() => loaded.delete(key));
    loaded.set(key, asked);
    while (loaded.size > KEPT) loaded.delete(loaded.keys().next().value);
  }
  return loaded.get(key);
}

async function showFilter(layer, channel) {
  if (place(layer, channel) < 0) throw new Error(`There is no filter ${channel} of ${layer} to judge here.`);
  here = { layer, channel };
  show("filter");
  find("title").textContent = `Filter ${channel} of ${layer}`;
  find("lens").setAttribute("aria-busy", "true");
  const filter = await load(layer, channel);
  if (here.layer !== layer || here.channel !== channel) return;
  find("lens").removeAttribute("aria-busy");
  find("layer").value = layer;
  look(lens);
  drawCost(filter);
  const next = nextOpen(place(layer, channel)) ?? beside(1);
  if (next) load(next.layer, next.channel).then(preload, () => {});
}

function preload(filter) {
  for (const one of filter.lenses.images.images ?? []) new Image().src = picture("image", { index: one.index });
}

async function look(name) {
  lens = name;
  for (const button of find("lenses").children) button.setAttribute("aria-pressed", String(button.dataset.lens === name));
  const { layer, channel } = here;
  const filter = await load(layer, channel);
  if (here.layer === layer && here.channel === channel && lens === name) draw(find("lens"), name, filter, { isJudged, picture });
}

function drawCost(filter) {
  const { cost } = filter;
  const facts = [];
  if (cost.absent) facts.push(["cost", make("span", {}, ...absent(cost.absent).filter(Boolean))]);
  else if (cost.stays) facts.push(["cannot go", cost.stays]);
  else {
    facts.push(["parameters saved", written(cost.parameters)]);
    facts.push(["time saved", cost.milliseconds === null
      ? make("span", {}, "not known: open the page with ", make("code", {}, "--latency-table FILE"))
      : `about ${written(cost.milliseconds)} ms`]);
  }
  if (cost.along_count) {
    const named = cost.along.slice(0, 4).map(([layer, channel]) => `${channel} of ${layer}`).join(", ");
    facts.push(["goes with it", cost.along_count > 4 ? `${named} and ${cost.along_count - 4} more` : named]);
  }
  facts.push(["accuracy lost without it", filter.hidden ? "hidden until you have decided"
    : cost.car !== null && cost.car !== undefined ? share(cost.car)
      : cost.no_car ? `cannot be measured, for it cannot go: ${cost.no_car}`
      : make("span", {}, "not measured: ", make("code", {}, `cnngraph measure ${start.name} --measure car --layer ${filter.layer}`))]);
  put(find("cost"), ...facts.flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, value)]));
}

// Deciding.

function decide(decision) {
  if (!open) return;
  if (view === "grid") {
    const filters = grid.filters();
    if (!filters.length) return announce("No filter is chosen.");
    choices.decide(filters, decision, "");
    announce(`${filters.length} filters: ${WORDS[decision]}.`);
    grid.chosen.clear();
    grid.draw();
  } else if (view === "filter") {
    const { layer, channel } = here;
    choices.decide([here], decision, lens);
    if (start.hide_scores) loaded.delete(`${layer} ${channel}`); // what was hidden may be seen now
    const next = nextOpen(place(layer, channel)) ?? nextOpen(-1);
    announce(`Filter ${channel} of ${layer}: ${WORDS[decision]}.${next ? "" : " All are judged."}`);
    if (next) goTo(next.layer, next.channel);
    else toSummary();
  }
  drawAround();
}

function undo() {
  if (!open) return;
  const last = choices.undo(view === "filter" ? lens : "");
  if (!last) return announce("There is nothing to undo.");
  announce(`Taken back: filter ${last.channel} of ${last.layer} was ${WORDS[last.decision]}.`);
  if (view === "grid") grid.draw();
  else goTo(last.layer, last.channel);
  drawAround();
}

function step(by) {
  if (view !== "filter") return;
  const next = beside(by);
  if (next) goTo(next.layer, next.channel);
  else announce(by > 0 ? "This is the last filter." : "This is the first filter.");
}

const named = ([at, channel]) => ({ layer: start.layers[at].layer, channel });

// The address names what the picture is of, so that the browser keeps it apart from that of another net on this port.
const picture = (what, values) => `/picture/${start.pictures}/${what}?${query(values)}`;

const isJudged = (layer) => start.layers.some((one) => one.layer === layer);

function place(layer, channel) {
  return start.order.findIndex(([at, other]) => other === channel && start.layers[at].layer === layer);
}

function beside(by) {
  const entry = start.order[place(here.layer, here.channel) + by];
  return entry ? named(entry) : null;
}

// The next filter after a place of the order that this person has not judged, of one layer where it is named.
function nextOpen(after, only) {
  const answers = choices.answers();
  for (let at = after + 1; at < start.order.length; at += 1) {
    const one = named(start.order[at]);
    if ((!only || one.layer === only) && !answers.has(`${one.layer} ${one.channel}`)) return one;
  }
  return null;
}

// What stands around.

function drawAround() {
  const answers = choices.answers();
  const layer = here?.layer ?? find("layer").value;
  const width = start.layers.find((one) => one.layer === layer)?.filters ?? 0;
  const inLayer = [...answers.keys()].filter((key) => key.slice(0, key.lastIndexOf(" ")) === layer).length;
  const total = start.order.length;
  find("progress").setAttribute("aria-valuemax", String(total));
  find("progress").setAttribute("aria-valuenow", String(answers.size));
  find("done").style.width = `${(100 * answers.size) / total}%`;
  find("left").textContent = `${total - answers.size} left, ${width - inLayer} in this layer`;
  if (here) {
    const answer = choices.answer(here.layer, here.channel);
    find("state").textContent = answer ? `You: ${WORDS[answer]}.` : "Not judged yet.";
    find("state").className = `answer-${answer ?? "none"}`;
    for (const decision of ["keep", "drop", "unknown"]) find(decision).setAttribute("aria-pressed", String(view === "filter" && answer === decision));
  }
  find("undo").disabled = !choices.list.length || !open;
  for (const decision of ["keep", "drop", "unknown"]) find(decision).disabled = !open || view === "summary";
  drawLast();
}

function drawLast() {
  const waiting = new Set(choices.waiting().map((one) => one.id));
  put(find("last"), ...choices.recent(10).map((one) => make("li", {},
    make("a", { href: path(one.layer, one.channel) }, `${one.channel} of ${one.layer}`), " ",
    make("span", { class: `answer-${one.decision}` }, WORDS[one.decision]),
    waiting.has(one.id) ? make("span", { class: "waits" }, " (not stored yet)") : null,
    make("div", { class: "answers" }, ...["keep", "drop", "unknown"].filter((other) => other !== one.decision).map((other) =>
      make("button", { type: "button", disabled: !open, "aria-label": `filter ${one.channel} of ${one.layer}: ${other === "unknown" ? "don't know" : other}`,
        on: { click: () => { choices.decide([one], other, ""); announce("Changed."); drawAround(); if (view === "grid") grid.draw(); } } },
      other === "unknown" ? "don't know" : other))))));
}

async function showGrid(layer) {
  if (!isJudged(layer)) throw new Error(`The layer ${layer} is not judged here.`);
  show("grid");
  if (here?.layer !== layer) here = { layer, channel: 0 };
  find("layer").value = layer;
  grid.open(await ask(`/api/grid?${new URLSearchParams({ layer })}`));
}

async function showSummary() {
  show("summary");
  const told = await ask("/api/progress");
  const words = (answers) => Object.entries(answers).map(([by, one]) => `${by}: ${WORDS[one]}`).join(", ");
  put(find("sums"),
    make("p", {}, `${told.judged} of ${told.filters} filters were judged by somebody; ${told.left} are left.`),
    table(["layer", "filters", "judged", "go if all agree"], told.layers.map((one) => [one.layer, one.filters, one.judged, one.drops])),
    make("h2", {}, "People"),
    make("p", {}, `Concordance: how often the machine's ${told.machine} is lower for a filter that the person drops than for one that is kept; 0.5 is chance.`),
    table(["by", "keep", "drop", "don't know", "left", "concordance"],
      told.people.map((one) => [one.by, one.keep, one.drop, one.unknown, one.left, one.concordance])),
    told.kappa.length ? table(["first", "second", "both judged", "agreed", "Cohen's kappa"],
      told.kappa.map((one) => [one.first, one.second, one.filters, one.agreed, one.kappa])) : null,
    told.disagreements.length ? make("h2", {}, "Disagreements") : null,
    told.disagreements.length ? table(["layer", "filter", "answers"],
      told.disagreements.map((one) => [one.layer, one.channel, words(one.answers)])) : null,
    make("p", {}, "This carries out what was decided: ", make("code", {}, `cnngraph prune ${start.name} --method review`)));
}

// What the server says.

function onStored(message, more) {
  open = more;
  complain(message, "store");
  if (!message && lost) route(); // the server answers again
  else if (!message && view === "summary") showSummary().catch((error) => complain(error.message));
  if (here || view !== "filter") drawAround();
}

async function refresh() {
  choices.take((await current(() => ask("/api/start"))).choices);
  drawAround();
  if (view === "grid") grid.draw();
}

function complain(message, where = "page") {
  trouble[where] = message;
  find("message").textContent = `${trouble.store} ${trouble.page}`.trim();
  find("message").hidden = !find("message").textContent;
}

function announce(words) {
  find("said").textContent = words;
}

begin().catch((error) => complain(error.message));
