// Elements made of plain text: whatever a file, class or layer is called, it is never read as markup.

export const find = (id) => document.getElementById(id);

export function make(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name === "on") for (const [event, listen] of Object.entries(value)) node.addEventListener(event, listen);
    else if (name in node && typeof value !== "string") node[name] = value;
    else node.setAttribute(name, value);
  }
  node.append(...children.filter((child) => child !== null));
  return node;
}

export function put(node, ...children) {
  node.replaceChildren(...children.filter((child) => child !== null));
}

export const table = (heads, rows) =>
  make("div", { class: "scroll" },
    make("table", {},
      make("thead", {}, make("tr", {}, ...heads.map((head) => make("th", { scope: "col" }, head)))),
      make("tbody", {}, ...rows.map((row) =>
        make("tr", {}, ...row.map((cell) =>
          make("td", typeof cell === "number" ? { class: "number" } : {}, written(cell))))))));

export function written(value) {
  if (value === null || value === undefined) return "–";
  if (typeof value !== "number") return value instanceof Node ? value : String(value);
  return Number.isInteger(value) ? value.toLocaleString("en") : String(Number(value.toPrecision(4)));
}

export const WORDS = { keep: "kept", drop: "dropped", unknown: "don't know" };

export const query = (values) => new URLSearchParams(values).toString();
