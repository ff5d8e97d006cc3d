// What was decided: kept in this browser until the server has stored it, each choice under a key of its own, so that two tabs
// do not overwrite each other; sending one again is harmless, since it has an id.

const PAUSE = 3000; // between two tries, in milliseconds
const PATIENCE = 20000; // after which a request counts as lost; the database gives up after 15 seconds
const MOST = 500; // of one request
const STAMP = "cnngraph stored"; // another value whenever a tab has stored choices

// What the server answers to `ask` about the choices that stand, if no tab has stored any meanwhile; else it is asked again: an
// answer that was made before a choice was stored, and comes after that choice ceased to wait here, knows nothing of it.
export async function current(ask) {
  for (;;) {
    const before = localStorage.getItem(STAMP);
    const answer = await ask();
    if (localStorage.getItem(STAMP) === before) return answer;
  }
}

function stamp() {
  try {
    localStorage.setItem(STAMP, crypto.randomUUID());
  } catch {
    // The browser is full of choices that wait; those that are stored now make room.
  }
}

export class Choices {
  constructor(start, changed) {
    this.prefix = `cnngraph/${start.model}/${start.binding}/${start.by}/`;
    this.changed = changed; // called with a message ("" if all is well) and whether more can be decided
    this.channel = "BroadcastChannel" in window ? new BroadcastChannel(this.prefix) : null;
    if (this.channel) this.channel.onmessage = () => this.onElsewhere?.();
    this.sending = false;
    this.closed = false;
    this.last = 0;
    this.take(start.choices);
    window.addEventListener("online", () => this.send());
  }

  // The choices that stand: those of the server and, after them, those that still wait here.
  take(stored) {
    this.list = stored.map(([id, layer, channel, decision]) => ({ id, layer, channel, decision }));
    const known = new Set(this.list.map((one) => one.id));
    for (const one of this.waiting()) if (!known.has(one.id)) this.apply(one);
  }

  apply(one) {
    if (one.decision === "undo") this.list = this.list.filter((other) => other.id !== one.undoes);
    else this.list.push({ ...one });
  }

  waiting() {
    const found = [];
    for (let at = 0; at < localStorage.length; at += 1) {
      const key = localStorage.key(at);
      if (key.startsWith(this.prefix)) found.push(JSON.parse(localStorage.getItem(key)));
    }
    return found.sort((one, other) => one.made - other.made);
  }

  answer(layer, channel) {
    return this.answers().get(`${layer} ${channel}`);
  }

  answers() {
    const found = new Map();
    for (const one of this.list) found.set(`${one.layer} ${one.channel}`, one.decision);
    return found;
  }

  recent(many) {
    return this.list.slice(-many).reverse();
  }

  decide(filters, decision, lens) {
    for (const { layer, channel } of filters) this.keep({ id: crypto.randomUUID(), layer, channel, decision, lens });
    this.send();
  }

  // Takes the last choice that stands back; returns it, or nothing where there is none.
  undo(lens) {
    const last = this.list.at(-1);
    if (last) {
      const { layer, channel } = last;
      this.keep({ id: crypto.randomUUID(), layer, channel, decision: "undo", undoes: last.id, lens });
      this.send();
    }
    return last;
  }

  keep(one) {
    this.last = Math.max(Date.now(), this.last + 0.001);
    const made = { ...one, made: this.last };
    try {
      localStorage.setItem(this.prefix + made.id, JSON.stringify(made));
    } catch {
      this.closed = true;
      return this.changed("This browser keeps nothing: allow it to store data for this page, and load it again.", false);
    }
    return this.apply(made);
  }

  async send() {
    if (this.sending || this.closed) return;
    const batch = this.waiting().slice(0, MOST);
    if (!batch.length) return this.changed("", true);
    this.sending = true;
    clearTimeout(this.later);
    let again = true;
    let failed = true;
    try {
      const response = await fetch("/api/choices", {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ choices: batch.map(({ made, ...told }) => told) }),
        signal: AbortSignal.timeout(PATIENCE),
      });
      const answer = await response.json().catch(() => ({}));
      if (response.ok) {
        stamp(); // before they cease to wait
        for (const id of answer.stored) localStorage.removeItem(this.prefix + id);
        failed = false;
        this.channel?.postMessage("stored");
        this.changed("", true);
      } else if (response.status >= 500) {
        this.changed(`${answer.error ?? "The server failed."} ${waits(this.waiting())}`, true);
      } else {
        again = false;
        this.closed = true;
        const why = answer.error ?? "The page was begun anew: open the address that cnngraph review printed.";
        this.changed(`${why} ${answer.hint ?? ""} ${waits(this.waiting())}`, false);
      }
    } catch {
      this.changed(`The page's server does not answer. ${waits(this.waiting())}`, true);
    } finally {
      this.sending = false;
    }
    if (again && this.waiting().length) this.later = setTimeout(() => this.send(), failed ? PAUSE : 0);
  }
}

function waits(list) {
  return list.length === 1 ? "1 decision waits in this browser." : `${list.length} decisions wait in this browser.`;
}
