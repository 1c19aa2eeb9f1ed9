// Runs the page's script against a real service, in a stand-in for a browser, and prints what the
// page says as JSON: the text of each element with an id.
const [document_, base, token] = [process.argv[2], process.argv[3], process.argv[4]];
const html = (await import("node:fs")).readFileSync(document_, "utf8");
const script = html.match(/<script>([^]*)<\/script>/)[1];

class Node {
  constructor(tag) { Object.assign(this, { tag, children: [], attributes: {}, dataset: {}, listeners: {}, hidden: false, open: false, value: "", text: "" }); }
  setAttribute(name, value) { this.attributes[name] = value; }
  addEventListener(name, listener) { this.listeners[name] = listener; }
  append(...children) { this.children.push(...children); }
  replaceChildren(...children) { this.children = children; this.text = ""; }
  showModal() { this.open = true; }
  close() { this.open = false; this.listeners.close?.({}); }
  set textContent(text) { this.children = []; this.text = String(text); }
  get textContent() { return this.text + this.children.map((c) => (c instanceof Node ? c.textContent : c)).join(" "); }
  find(test) { return test(this) ? this : this.children.reduce((found, c) => found || (c instanceof Node ? c.find(test) : null), null); }
}
const byId = new Map([...html.matchAll(/ id="(\w+)"/g)].map(([, id]) => [id, new Node(id)]));
const stored = { "onsettle-token": token };
const failures = [];
Object.assign(globalThis, {
  Node,
  document: {
    hidden: false, title: "", getElementById: (id) => byId.get(id), addEventListener() {},
    createElement: (tag) => new Node(tag), createElementNS: (_, tag) => new Node(tag),
  },
  sessionStorage: { getItem: (name) => stored[name] ?? null, setItem(name, value) { stored[name] = value; }, removeItem(name) { delete stored[name]; } },
  alert: (text) => failures.push(text), confirm: () => true,
});
const real = globalThis.fetch;
globalThis.fetch = (path, options) => real(new URL(path, base), options);
// Its own timer never rings: it is asked once.
const page = new Function("setTimeout", `${script}; return { refresh, learnRights, state };`)(() => 0);
await page.learnRights();
await page.refresh();
const row = byId.get("payments").find((node) => node.attributes.class === "open");
if (row) await row.listeners.click();
await page.refresh();
const pause = byId.get("wallets").find((node) => node.tag === "button");
console.log(JSON.stringify({
  title: document.title, failures, pausable: Boolean(pause), admin: page.state.admin,
  text: Object.fromEntries([...byId].map(([id, node]) => [id, node.textContent])),
}));
