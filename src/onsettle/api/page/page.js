// When it is read, and what a click does.

const state = { chosen: "", search: "", history: [], last: null, admin: false, open: null };
const token = () => sessionStorage.getItem("onsettle-token") || "";

async function ask(path, options = {}) {
  const headers = token() ? { authorization: `Bearer ${token()}` } : {};
  const response = await fetch(path, { ...options, headers: { ...headers, ...options.headers } });
  const answer = await response.json();
  if (!response.ok) throw Object.assign(new Error(answer.detail || response.statusText), { status: response.status });
  return answer;
}

function tell(health, reasons) {
  at("health").textContent = health;
  at("health").className = `badge ${health}`;
  at("reasons").hidden = !reasons.length;
  at("reasons").className = `reasons ${health}`;
  at("reasons").replaceChildren(...reasons.map((reason) => el("li", null, reason)));
}

function remember(stats) {
  const now = Date.now();
  const done = stats.payments.completed.count;
  if (state.last && now > state.last[0]) {
    const rate = Math.max(0, (done - state.last[1]) / ((now - state.last[0]) / 1000));
    state.history.push([now, rate]);
  }
  state.last = [now, done];
  state.history = state.history.filter(([time]) => time > now - 300000);
}

function show(stats) {
  remember(stats);
  tell(stats.health, stats.reasons);
  const { payments_paused: paused, payment_mode: mode } = stats.settings;
  at("mode").textContent = paused ? "paused" : mode;
  at("clock").textContent = new Date(stats.at).toLocaleTimeString();
  document.title = `${stats.health === "healthy" ? "" : "! "}Onsettle`;
  at("flow").replaceChildren(...flow(stats.payments, state.chosen, choose));
  at("rates").replaceChildren(...["submitted", "completed", "failed"].map((name) =>
    el("div", null, el("b", null, count(stats.rates[`${name}_per_minute`])), el("span", { class: "quiet" }, name))));
  chart(at("chart"), state.history);
  at("latency").replaceChildren(latencies(stats.latency_s));
  at("wallets").replaceChildren(wallets(stats.wallets, state.admin ? operate : null));
  at("chains").replaceChildren(chains(stats.networks));
  const mints = Object.entries(stats.mints).map(([name, number]) => `${count(number)} ${name}`).join(", ") || "none";
  const outbox = stats.outbox;
  at("also").textContent = `mints: ${mints} · messages: ${outbox.pending} waiting, ${outbox.dead} given up · workers: ${stats.workers.length}`;
  at("pause").hidden = !state.admin;
  at("pause").textContent = paused ? "Resume" : "Pause";
  at("pause").dataset.action = paused ? "resume" : "pause";
}

function query() {
  const asked = new URLSearchParams({ limit: "15" });
  if (state.chosen) asked.set("status", state.chosen);
  if (/^0x[0-9a-f]{40}$/i.test(state.search)) asked.set("payer", state.search);
  return `/v1/payments?${asked}`;
}

async function refresh() {
  try {
    show(await ask("/v1/stats"));
    at("payments").replaceChildren(payments((await ask(query())).payments, open));
    if (state.open) at("detail").replaceChildren(...detail(await ask(`/v1/payments/${state.open}`), closeDetail));
  } catch (error) {
    if (error.status === 401) {
      if (!at("keys").open) at("keys").showModal();
      tell("stopped", ["This service wants an API key: press Key."]);
    } else {
      tell("stopped", [`The service does not answer: ${error.message}`]);
    }
  }
}

function choose(status) {
  state.chosen = state.chosen === status ? "" : status;
  at("filter").value = state.chosen;
  refresh();
}

async function open(id) {
  state.open = id;
  at("detail").replaceChildren(...detail(await ask(`/v1/payments/${id}`), closeDetail));
  if (!at("detail").open) at("detail").showModal();
}

const closeDetail = () => at("detail").close();

async function act(path, question) {
  if (!confirm(question)) return;
  try {
    await ask(path, { method: "POST" });
  } catch (error) {
    alert(error.message);
  }
  refresh();
}

const operate = (wallet) => {
  const action = wallet.paused ? "resume" : "pause";
  act(`/v1/admin/wallets/${wallet.address}/${action}`, `${words(action)} wallet ${wallet.address}?`);
};

async function learnRights() {
  // Only the admin token opens this route; without one configured it is not there.
  state.admin = await ask("/v1/admin/settings").then(() => true, () => false);
}

at("detail").addEventListener("close", () => { state.open = null; });
at("pause").addEventListener("click", (event) => {
  const action = event.target.dataset.action;
  act(`/v1/admin/${action}`, action === "pause" ? "Stop sending payments? What is sent is followed to its end." : "Send payments again?");
});
at("key").addEventListener("click", () => at("keys").showModal());
at("keys").addEventListener("close", async () => {
  if (at("keys").returnValue === "use" && at("token").value) sessionStorage.setItem("onsettle-token", at("token").value);
  if (at("keys").returnValue === "forget") sessionStorage.removeItem("onsettle-token");
  at("token").value = "";
  await learnRights();
  refresh();
});
at("filter").append(...STATUSES.map((status) => el("option", { value: status }, words(status))));
at("filter").addEventListener("change", (event) => { state.chosen = event.target.value; refresh(); });
at("search").addEventListener("change", (event) => {
  state.search = event.target.value.trim();
  if (/^[0-9a-f-]{36}$/i.test(state.search)) open(state.search).catch((error) => alert(error.message));
  else refresh();
});

async function keepReading() {
  if (!document.hidden) await refresh();
  setTimeout(keepReading, 1500);
}

document.addEventListener("visibilitychange", () => { if (!document.hidden) refresh(); });
(token() ? learnRights() : Promise.resolve()).then(keepReading);
