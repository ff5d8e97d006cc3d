// The grid of a layer: filter, sort, choose several (a group of twins, with exceptions), decide for all that are chosen.

import { find, make, put, WORDS, written } from "./dom.js";
import { path, share } from "./lenses.js";

export class Grid {
  constructor(choices, goTo, picture) {
    this.choices = choices;
    this.goTo = goTo;
    this.picture = picture;
    this.chosen = new Set();
    for (const id of ["show", "sort"]) find(id).addEventListener("change", () => this.draw());
    find("choose-none").addEventListener("click", () => { this.chosen.clear(); this.draw(); });
  }

  open(told) {
    if (this.told?.layer !== told.layer) this.chosen.clear();
    this.told = told;
    for (const option of find("sort").options) {
      option.disabled = !["channel", "group"].includes(option.value) && !told.filters.some((one) => one[option.value] != null);
    }
    if (find("sort").selectedOptions[0]?.disabled) find("sort").value = "channel";
    this.draw();
  }

  filters() {
    return [...this.chosen].sort((one, other) => one - other).map((channel) => ({ layer: this.told.layer, channel }));
  }

  chooseGroup(group) {
    for (const one of this.told.filters) if (one.group === group) this.chosen.add(one.channel);
    this.draw();
  }

  choose(channel) {
    if (this.chosen.has(channel)) this.chosen.delete(channel);
    else this.chosen.add(channel);
    this.draw();
  }

  // x and t act on the tile that has the focus.
  key(name) {
    const tile = document.activeElement?.closest("#tiles li");
    const one = tile && this.told.filters.find((other) => other.channel === Number(tile.dataset.channel));
    if (one && name === "x") this.choose(one.channel);
    else if (one && name === "t") this.chooseGroup(one.group);
    else return false;
    return true;
  }

  draw() {
    const { layer, filters, pictures } = this.told;
    const focus = document.activeElement?.closest("#tiles li")?.dataset.channel;
    const answers = this.choices.answers();
    const sizes = new Map();
    for (const one of filters) sizes.set(one.group, (sizes.get(one.group) ?? 0) + 1);
    const show = find("show").value;
    const sort = find("sort").value;
    const answer = (one) => answers.get(`${layer} ${one.channel}`);
    const shown = filters.filter((one) => show === "all" || (show === "unjudged" && !answer(one))
      || (show === "twins" && sizes.get(one.group) > 1) || answer(one) === show);
    const last = Number.POSITIVE_INFINITY; // filters without a value stand at the end
    shown.sort((one, other) => (one[sort] ?? last) - (other[sort] ?? last) || one.channel - other.channel);
    find("grid-title").textContent = `Filters of ${layer}`;
    find("chosen").textContent = this.chosen.size
      ? `${this.chosen.size} chosen: keep, drop or don't know decides for all of them` : `${shown.length} shown`;
    put(find("tiles"), ...shown.map((one) => this.tile(layer, one, answer(one), sizes.get(one.group), pictures)));
    if (focus !== undefined) find("tiles").querySelector(`li[data-channel="${focus}"] input`)?.focus();
  }

  tile(layer, one, answer, twins, pictures) {
    const { channel, group } = one;
    const open = (event) => { event.preventDefault(); this.goTo(layer, channel); };
    const face = make("img", { loading: "lazy", alt: "", src: this.picture("face", { layer, channel }),
      on: { error: (event) => event.target.remove() } });
    const box = make("input", { type: "checkbox", checked: this.chosen.has(channel), "aria-label": `choose filter ${channel}`,
      on: { change: () => this.choose(channel) } });
    const facts = ["car", "magnitude", "apoz"].filter((name) => one[name] != null && name === find("sort").value)
      .map((name) => make("div", {}, name === "car" ? share(one[name]) : written(one[name])));
    return make("li", { class: this.chosen.has(channel) ? "chosen" : "", "data-channel": String(channel) },
      make("a", { href: path(layer, channel), on: { click: open } }, `filter ${channel}`),
      ...(pictures ? [face] : []),
      make("span", { class: `answer-${answer ?? "none"}` }, answer ? WORDS[answer] : "not judged"),
      ...facts,
      make("label", {}, box, "choose"),
      twins > 1 ? make("button", { type: "button", on: { click: () => this.chooseGroup(group) } },
        `choose its ${twins} twins`) : null);
  }
}
