// The lenses on one filter: each draws what the server says of it, or the command that makes what is missing.

import { make, put, table, written } from "./dom.js";

export const LENSES = [
  ["images", "Top images"],
  ["occurrence", "Where each class answers"],
  ["weights", "Weights"],
  ["serves", "What it serves"],
  ["twins", "Twins"],
  ["scores", "Scores"],
];

// Of the page, `isJudged` says of a layer whether its filters are judged here, `picture` gives the address of a picture.
export function draw(place, name, filter, page) {
  const told = filter.lenses[name];
  if (told.hidden) return put(place, make("p", {}, "Hidden until you have decided."));
  if (told.absent) return put(place, ...absent(told.absent));
  if (told.text) return put(place, make("p", {}, told.text));
  return DRAWN[name](place, told, filter, page);
}

export function absent({ text, command }) {
  return [make("p", {}, text), command ? make("p", {}, "This makes it: ", make("code", {}, command)) : null];
}

const DRAWN = {
  images(place, told, _filter, { picture }) {
    if (!told.images.length) return put(place, make("p", {}, "No image excites this filter."));
    return put(place, make("p", {}, `Of ${told.of}; the box is what the filter looks at where it responds most.`),
      make("ul", { class: "pictures" }, ...told.images.map((one, rank) => {
      const [top, left, bottom, right] = one.box;
      const seen = make("div", { class: "seen" },
        make("img", { src: picture("image", { index: one.index }), alt: `image ${rank + 1}: ${one.label}` }));
      seen.append(box(told.width, told.height, left, top, right - left, bottom - top));
      return make("li", {}, make("figure", {}, seen,
        make("figcaption", {}, `${one.label}: ${written(one.value)}${bottom > top && right > left ? "" : " (it sees padding alone)"}`)));
    })));
  },

  occurrence(place, told) {
    return put(place,
      make("p", {}, "How often its response is above 0, by class and place: black never, white always."),
      make("ul", { class: "pictures" }, ...told.maps.map((map, index) => {
        const known = map.flat().filter((cell) => cell !== null);
        const mean = known.length ? known.reduce((sum, cell) => sum + cell, 0) / known.length : null;
        const said = mean === null ? "no image" : `${Math.round(100 * mean)} %`;
        return make("li", {}, make("figure", {}, grey(map, `${told.classes[index]}: ${said}`),
          make("figcaption", {}, `${told.classes[index] ?? index}: ${said}`)));
      })));
  },

  weights(place, told, filter, { picture }) {
    const { layer, channel } = filter;
    return put(place, make("img", { class: "large", src: picture("weights", { layer, channel }),
      alt: `weights of filter ${channel}` }));
  },

  serves(place, told) {
    const classes = told.by_class.map((lost, index) => [told.classes[index] ?? String(index), share(lost)]);
    return put(place,
      make("p", {}, "How much of each class's accuracy is lost without it (CAR of the class)."),
      told.served.length
        ? table(["rank", "class", "accuracy lost"], told.served.map((one) => [one.rank, one.name, share(one.reduction)]))
        : make("p", {}, "It serves no class more than others."),
      classes.length ? make("details", {}, make("summary", {}, "All classes"), table(["class", "accuracy lost"], classes)) : null);
  },

  twins(place, told, _filter, { isJudged, picture }) {
    if (!told.twins.length) return put(place, make("p", {}, "No filter resembles it."));
    return put(place, make("ul", { class: "pictures" }, ...told.twins.map((one) => {
      const words = `${one.channel} of ${one.layer}`;
      const link = isJudged(one.layer) ? make("a", { href: path(one.layer, one.channel) }, `filter ${words}`) : `map ${words}`;
      const face = told.pictures
        ? make("img", { loading: "lazy", alt: "", src: picture("face", { layer: one.layer, channel: one.channel }),
          on: { error: (event) => event.target.remove() } })
        : null;
      return make("li", {}, make("figure", {}, ...(face ? [face] : []),
        make("figcaption", {}, link,
          ` correlation ${written(one.correlation)}, ${one.scope === "within" ? "within the layer" : "across layers"}`)));
    })));
  },

  scores(place, told) {
    return put(place, table(["score in the graph", "value"], told.scores.map((one) => [one.name, one.value])));
  },
};

export const path = (layer, channel) => `/layer/${encodeURIComponent(layer)}/filter/${channel}`;

export const share = (value) => (value === null || value === undefined ? "–" : `${written(100 * value)} points`);

function box(width, height, x, y, wide, high) {
  const name = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(name, "svg");
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  svg.setAttribute("aria-hidden", "true");
  const rect = document.createElementNS(name, "rect");
  for (const [key, value] of Object.entries({ x, y, width: wide, height: high })) rect.setAttribute(key, value);
  svg.append(rect);
  return svg;
}

function grey(map, label) {
  const canvas = make("canvas", { role: "img", "aria-label": label });
  canvas.width = map[0].length;
  canvas.height = map.length;
  const context = canvas.getContext("2d");
  const image = context.createImageData(canvas.width, canvas.height);
  map.flat().forEach((cell, at) => {
    const level = cell === null ? 0 : Math.round(255 * cell);
    image.data.set([level, level, level, 255], 4 * at);
  });
  context.putImageData(image, 0, 0);
  return canvas;
}
