"use strict";
// What is shown, built from text alone: nothing that a payer or a chain says becomes markup.

const STATUSES = ["pending", "processing", "sent", "completed", "failed", "confirmation_failed"];
const at = (id) => document.getElementById(id);
const words = (text) => String(text).replaceAll("_", " ");

function el(tag, attributes, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value !== null && value !== false) made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined).map(
    (child) => (child instanceof Node ? child : String(child))));
  return made;
}

function table(heads, rows, empty) {
  if (!rows.length) return el("p", { class: "empty" }, empty);
  const head = heads.map(([name, right]) => el("th", { class: right ? "right" : null }, name));
  return el("table", null, el("thead", null, el("tr", null, head)), el("tbody", null, rows));
}

const cell = (content, kind) => el("td", { class: kind || null }, content ?? "–");
const short = (text) => (text && text.length > 18 ? `${text.slice(0, 8)}…${text.slice(-6)}` : text);
const mono = (text) => el("code", { title: text ?? "" }, short(text) ?? "–");
const count = (number) => Number(number).toLocaleString("en-US");

function age(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  const s = Math.round(seconds);
  if (s < 90) return `${s} s`;
  if (s < 5400) return `${Math.round(s / 60)} min`;
  return s < 172800 ? `${Math.round(s / 3600)} h` : `${Math.round(s / 86400)} d`;
}

function seconds(value) {
  if (value === undefined || value === null) return "–";
  return value < 1 ? `${Math.round(value * 1000)} ms` : `${value.toFixed(value < 10 ? 1 : 0)} s`;
}

// Wei and atomic units do not fit a number: decimal strings are divided as text.
function units(text, decimals, places) {
  if (text === null || text === undefined) return "–";
  const digits = text.padStart(decimals + 1, "0");
  const rest = digits.slice(-decimals).slice(0, places).replace(/0+$/, "");
  return Number(digits.slice(0, -decimals)).toLocaleString("en-US") + (rest ? `.${rest}` : "");
}

function flow(payments, chosen, choose) {
  return STATUSES.map((status) => {
    const { count: number, oldest_age_s: oldest } = payments[status];
    const waits = ["pending", "processing", "sent"].includes(status) && number > 0;
    return el("button", { class: status, "aria-pressed": String(chosen === status), onclick: () => choose(status) },
      el("span", null, el("i", { class: "dot" }), words(status)), el("b", null, count(number)),
      el("small", { class: waits && oldest > 60 ? "alert" : null }, waits ? `oldest ${age(oldest)}` : "\u00a0"));
  });
}

function chart(svg, points) {
  const top = Math.max(1, ...points.map(([, value]) => value));
  const now = Date.now();
  const place = ([time, value]) => [600 - (now - time) / 500, 86 - (value / top) * 80];
  const line = points.map(place).map(([x, y], i) => `${i ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`).join("");
  const draw = (kind, d) => {
    const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
    path.setAttribute("class", kind);
    path.setAttribute("d", d);
    return path;
  };
  const first = points.length ? place(points[0])[0] : 600;
  svg.replaceChildren(draw("area", line ? `${line}L600 90L${first.toFixed(1)} 90Z` : ""), draw("line", line));
}

function latencies(found) {
  const names = { accept_to_sent: "accept → sent", accept_to_completed: "accept → completed", mined_to_completed: "mined → completed" };
  const rows = Object.entries(names).map(([key, name]) => el("tr", null, cell(name),
    ["p50", "p95", "p99"].map((p) => cell(found[key] ? seconds(found[key][p]) : "–", "right"))));
  return table([[""], ["p50", 1], ["p95", 1], ["p99", 1]], rows, "");
}

function wallets(rows, operate) {
  return table([["wallet"], ["role"], ["in flight", 1], ["balance", 1], [""]], rows.map((w) => el("tr", null,
    cell(mono(w.address)), cell(w.role), cell(count(w.live), "right"),
    cell(units(w.balance, 18, 4), w.needs_balance ? "right bad" : "right"),
    el("td", { class: "right", title: w.note ?? "" },
      w.needs_balance ? el("span", { class: "bad" }, `needs ${units(w.needs_balance, 18, 4)} `) : null,
      w.paused ? el("span", { class: "alert" }, "paused ") : null,
      w.keyed ? null : el("span", { class: "alert" }, "no worker holds its key "),
      operate ? el("button", { class: "small", onclick: () => operate(w) }, w.paused ? "Resume" : "Pause") : null))),
  "No wallets yet.");
}

function chains(networks) {
  const rows = networks.flatMap((n) => (n.rpc.length ? n.rpc : [null]).map((end) => el("tr", null,
    cell(n.name, null), cell(n.block_number === null ? "–" : count(n.block_number), "right"),
    cell(`${age(n.looked_ago_s)} ago`, n.looked_ago_s > 30 ? "right alert" : "right"),
    cell(end ? el("code", null, end.endpoint.replace(/^\w+:\/\//, "")) : "–"), cell(end ? count(end.calls) : "–", "right"),
    cell(end && end.latency_ms !== null ? `${end.latency_ms.toFixed(0)} ms` : "–", "right"),
    el("td", { class: end && !end.answers ? "right bad" : "right", title: end?.last_error ?? "" },
      end ? (end.answers ? (end.cooldown_s > 0 ? "limits us" : "answers") : "silent") : "–"))));
  return table([["chain"], ["block", 1], ["looked", 1], ["endpoint"], ["calls", 1], ["last", 1], [""]], rows, "No chain yet.");
}

function payments(rows, open) {
  return table([["payment"], ["status"], ["type"], ["payer"], ["amount", 1], ["transaction"], ["accepted", 1]],
    rows.map((p) => el("tr", { class: "open", tabindex: "0", onclick: () => open(p.id), onkeydown: (e) => e.key === "Enter" && open(p.id) },
      cell(mono(p.id)), el("td", { class: p.status }, el("i", { class: "dot" }), words(p.status), p.error ? el("span", { class: "quiet" }, ` ${words(p.error.code)}`) : null),
      cell(p.payment_type), cell(mono(p.payer)), cell(p.amount, "right"), cell(mono(p.tx_hash)),
      cell(new Date(p.created_at).toLocaleTimeString(), "right"))), "No payments here.");
}

function detail(p, close) {
  const facts = { amount: `${p.amount} of ${p.asset}`, payer: p.payer, "paid to": p.pay_to, network: p.network,
    nonce: p.authorization_nonce, transaction: p.tx_hash, block: p.block_number, token: p.token_address,
    metadata: JSON.stringify(p.metadata), result: p.result && JSON.stringify(p.result), error: p.error && p.error.message };
  const shown = Object.entries(facts).filter(([, value]) => value !== null && value !== undefined);
  const attempts = p.attempts.map((a) => el("tr", null, cell(mono(a.hash)), cell(mono(a.wallet)), cell(a.nonce, "right"),
    cell(`${units(a.max_fee, 9, 4)} gwei`, "right"), cell(a.sent_at ? new Date(a.sent_at).toLocaleTimeString() : "not sent", "right")));
  const copy = el("button", { onclick: () => navigator.clipboard.writeText(JSON.stringify(p, null, 2)) }, "Copy as JSON");
  return [el("h2", null, el("span", { class: p.status }, el("i", { class: "dot" }), words(p.status)), p.final ? "final" : "", el("span", { class: "grow" }), copy,
    el("button", { onclick: close }, "Close")),
  el("code", null, p.id), el("dl", null, shown.map(([name, value]) => [el("dt", null, name), el("dd", { class: "mono" }, value)])),
  el("ol", { class: "line-of-life" }, p.events.map((e) => el("li", { class: e.to }, words(e.to), el("span", { class: "quiet" }, `  ${words(e.reason ?? "")} · ${new Date(e.at).toLocaleString()}`)))),
  attempts.length ? table([["attempt"], ["wallet"], ["nonce", 1], ["max fee", 1], ["sent", 1]], attempts, "") : "",
  p.mints.length ? table([["mint"], ["status"], ["transaction"]], p.mints.map((m) => el("tr", null, cell(mono(m.id)), cell(m.error ? `${m.status}: ${m.error}` : m.status), cell(mono(m.mint_tx_hash)))), "") : ""];
}
