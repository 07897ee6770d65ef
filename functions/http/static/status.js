// The operator's page: reads the overview every few seconds and changes what has changed. What is
// shown (search, filter, page) is in the address.

import { make, read, send, token } from "/pages/api.js";
import * as letters from "/pages/status-letters.js";
import * as list from "/pages/status-list.js";
import * as subscriptions from "/pages/status-subscriptions.js";
import { KINDS, STATUSES, at, count, keep, put, several, zone } from "/pages/status-parts.js";

const EVERY = 5000; // milliseconds between requests; none while the page is hidden
const SOON = 1000; // where something is still being read
const AFTER_TROUBLE = 15000;
const PAGE = 50;

// Each part: its name, what does not work without it, and what works if it alone is away.
const PARTS = {
  settings: ["The app's settings", "Nothing works until they are corrected.", ""],
  cosmosDb: [
    "Cosmos DB",
    "Flow sets can be neither read nor changed until it is back.",
    "Events wait in the queue; nothing is lost.",
  ],
  serviceBus: [
    "Service Bus",
    "Checks are made when it is back, and reports of your engine count then.",
    "Flow sets can be read and changed.",
  ],
  blobStorage: [
    "Blob Storage",
    "Dead letters can be neither listed, replayed nor discarded until it is back.",
    "Flow sets and their checks work.",
  ],
  issuer: [
    "The token issuer",
    "Tokens whose signing key the service does not have yet are refused until it is back.",
    "All others are accepted.",
  ],
};
const STATES = {
  unavailable: "does not answer",
  throttled: "has no throughput left just now",
  refused: "refuses this service",
  wrong: "are wrong",
};

let wanted = { search: "", status: "", page: 1 };
let shown = { etag: null, path: null, overview: null };
let timer = null;
let typing = null; // the timer that waits for the end of what is typed
let reading = false;
let again = false;
let read_at = ""; // the time of the last answer
let absent = new Set(); // the parts that are away, by their names in /health
let working = false; // whether the user waits for what was searched for

// --- what is wanted, in the address -----------------------------------------------------------

function from_address() {
  const query = new URLSearchParams(location.search);
  const status = query.get("status") ?? "";
  const page = Number(query.get("page") ?? 1);
  return {
    search: (query.get("search") ?? "").slice(0, 256),
    status: status in STATUSES ? status : "",
    page: Number.isInteger(page) && page >= 1 && page <= 500 ? page : 1,
  };
}

// Want something else; `replace` keeps no entry in the browser's history.
function want(change, replace = false) {
  clearTimeout(typing);
  wanted = { ...wanted, search: at("search").value, page: 1, ...change };
  const query = new URLSearchParams();
  if (wanted.search) query.set("search", wanted.search);
  if (wanted.status) query.set("status", wanted.status);
  if (wanted.page > 1) query.set("page", String(wanted.page));
  const address = `${location.pathname}${query.size ? `?${query}` : ""}`;
  history[replace ? "replaceState" : "pushState"](null, "", address);
  work();
}

function path() {
  const query = new URLSearchParams({ top: String(PAGE), skip: String((wanted.page - 1) * PAGE) });
  if (wanted.search.trim()) query.set("search", wanted.search.trim());
  if (wanted.status) query.set("status", wanted.status);
  return `/status/overview?${query}`;
}

// --- reading ----------------------------------------------------------------------------------

function work() {
  working = true;
  at("list").setAttribute("aria-busy", "true");
  put(at("found"), "Searching …");
  return refresh();
}

async function refresh() {
  clearTimeout(timer);
  if (document.hidden || !token.get()) return;
  if (reading) {
    again = true; // what is to be shown changed meanwhile
    return;
  }
  reading = true;
  let wait = EVERY;
  const current = path();
  try {
    const found = await read(current, current === shown.path ? shown.etag : null);
    if (!token.get()) return;
    if (found) shown = { etag: found.etag, path: current, overview: found.value };
    at("content").hidden = false;
    if (current === path()) show();
    const { queue, deadLetters } = shown.overview;
    const is_known = queue && deadLetters;
    if (is_known) absent.clear();
    tell(is_known ? [] : await away());
    if (!is_known) {
      show_totals(shown.overview);
      if (!absent.size) wait = SOON;
    }
    read_at = new Date().toLocaleTimeString();
    put(at("live"), `Live; last read at ${read_at}`);
  } catch (error) {
    wait = AFTER_TROUBLE;
    put(at("live"), read_at && `Not live; last read at ${read_at}`);
    if (error.status === 401 || error.status === 403) {
      tell([["", error.message]]);
      sign_out();
      return;
    }
    const parts = error.status ? await away() : [];
    // Which part it is, /health says a few seconds later.
    if (error.status === 503 && !parts.length) wait = SOON;
    tell(parts.length ? parts : [["", error.message]]);
    working = false;
    put(at("found"), "");
  } finally {
    reading = false;
    if (!working) at("list").setAttribute("aria-busy", "false");
  }
  if (again) {
    again = false;
    refresh();
    return;
  }
  timer = setTimeout(refresh, wait);
}

// Which parts are away, each with what still works.
async function away() {
  try {
    const { dependencies } = await (await send("GET", "/health")).json();
    const found = Object.entries(dependencies).filter(([, { status }]) => status in STATES);
    absent = new Set(found.map(([name]) => name));
    return found.map(([name, { status }]) => {
      const [part, fails, works] = PARTS[name] ?? [name, "", ""];
      return [`${part} ${STATES[status]}.`, found.length > 1 ? fails : `${fails} ${works}`.trim()];
    });
  } catch {
    return [];
  }
}

function tell(sentences) {
  const box = at("trouble");
  const text = JSON.stringify(sentences);
  if (box.dataset.text === text) return;
  box.dataset.text = text;
  box.replaceChildren(
    ...sentences.map(([what, means]) => make("p", {}, make("strong", {}, what), what ? ` ${means}` : means)),
  );
  box.hidden = !sentences.length;
}

// --- signing in -------------------------------------------------------------------------------

function sign_in() {
  const inside = Boolean(token.get());
  at("signin").hidden = inside;
  at("forget").hidden = !inside;
  if (inside) work();
  else {
    at("content").hidden = true;
    put(at("live"), "");
  }
}

function sign_out() {
  token.forget();
  shown = { etag: null, path: null, overview: null };
  read_at = "";
  put(at("tenant"), "");
  at("totals").replaceChildren();
  at("sets").tBodies[0].replaceChildren();
  letters.close();
  list.close();
  subscriptions.close();
  sign_in();
  at("token").focus();
}

// --- showing ----------------------------------------------------------------------------------

function show() {
  const { overview } = shown;
  working = false;
  show_totals(overview);
  show_counts(overview.counts);
  list.show_sets(overview.value);
  const filters = wanted.search.trim() || wanted.status;
  put(at("found"), filters ? `${several(overview.found, "flow set", "flow sets")} found` : "");
  at("none").hidden = overview.value.length > 0;
  at("sets").hidden = !overview.value.length;
  put(at("none"), filters ? "No flow set is like that." : "There are no flow sets yet.");
  show_pages(overview);
}

function show_pages({ found, value, more }) {
  const first = (wanted.page - 1) * PAGE + 1;
  at("pages").hidden = wanted.page === 1 && !more;
  at("previous").disabled = wanted.page === 1;
  at("next").disabled = !more;
  put(at("place"), value.length ? `${count(first)} to ${count(first + value.length - 1)} of ${count(found)}` : "");
}

function show_totals({ tenantId, flowSets, complete, counts, sets, stuck, queue, deadLetters }) {
  put(at("tenant"), `Tenant ${tenantId}`);
  const flows = (status) =>
    status === "stuck" ? stuck : Object.values(counts).reduce((sum, kind) => sum + (kind[status] ?? 0), 0);
  const most = queue && !queue.complete ? "+" : "";
  const unknown = (name, part) => (absent.has(name) ? `${part} is away` : "being read …");
  const dead = (deadLetters?.notReplayed ?? 0) + (queue?.deadLettered ?? 0);
  const tiles = [
    { key: "", name: "All flow sets", number: `${count(flowSets)}${complete ? "" : "+"}`, note: "", filter: true },
    ...Object.entries(STATUSES).map(([status, [sign, text]]) => ({
      key: status, tone: sets[status] ? status : "none", name: `${sign} ${text}`, number: count(sets[status]),
      note: several(flows(status), "flow", "flows"), filter: true,
    })),
    {
      key: "queue", name: "In the queue", number: queue ? `${count(queue.waiting)}${most}` : "?",
      note: queue ? (queue.scheduled ? `${queue.scheduled} for later` : "messages") : unknown("serviceBus", "Service Bus"),
    },
    {
      key: "dead", tone: dead ? "failed" : "", name: "Dead letters", act: letters.open,
      number: deadLetters ? `${count(dead)}${most}` : "?",
      note: deadLetters ? `of the last ${deadLetters.days} days` : unknown("blobStorage", "Blob Storage"),
    },
  ];
  keep(at("totals"), tiles, ({ key }) => key, new_tile, (item, { key, tone, name, number, note, filter }) => {
    const tile = item.firstElementChild;
    tile.className = `tile ${tone ?? ""} ${key}`;
    if (filter) tile.setAttribute("aria-pressed", String(wanted.status === key));
    [name, number, note].forEach((text, index) => put(tile.children[index], text));
  });
}

function new_tile({ key, filter, act }) {
  const parts = ["name", "number", "quiet"].map((name) => make("span", { class: name }));
  const tile = filter || act ? make("button", { type: "button" }, ...parts) : make("div", {}, ...parts);
  if (filter) tile.addEventListener("click", () => want({ status: wanted.status === key ? "" : key }));
  if (act) tile.addEventListener("click", act);
  return make("li", {}, tile);
}

function show_counts(counts) {
  const table = at("counts");
  const statuses = Object.keys(STATUSES).filter((status) => status !== "stuck");
  if (!table.tHead.rows.length) {
    table.tHead.append(make("tr", {}, make("th", { scope: "col" }, "Kind"),
      ...statuses.map((status) => make("th", { scope: "col" }, STATUSES[status][1]))));
  }
  keep(table.tBodies[0], Object.entries(counts), ([kind]) => kind,
    ([kind]) => make("tr", {}, make("th", { scope: "row" }, KINDS[kind] ?? kind), ...statuses.map(() => make("td"))),
    (row, [, numbers]) => statuses.forEach((status, index) => put(row.cells[index + 1], count(numbers[status] ?? 0))));
}

// --- events -----------------------------------------------------------------------------------

at("signin").addEventListener("submit", (event) => {
  event.preventDefault();
  token.set(at("token").value);
  at("token").value = "";
  sign_in();
  at("search").focus();
});
at("forget").addEventListener("click", () => {
  tell([]);
  sign_out();
});
at("choose").addEventListener("submit", (event) => event.preventDefault());
at("search").addEventListener("input", () => {
  put(at("found"), "Searching …");
  clearTimeout(typing);
  typing = setTimeout(() => want({}, true), 250);
});
for (const [id, step] of [["previous", -1], ["next", 1]]) {
  at(id).addEventListener("click", async () => {
    list.close();
    at("list").focus();
    at("list").scrollIntoView();
    await want({ page: wanted.page + step });
  });
}
addEventListener("popstate", () => {
  wanted = from_address();
  at("search").value = wanted.search;
  work();
});
document.addEventListener("visibilitychange", refresh);
addEventListener("online", refresh);
addEventListener("offline", refresh);

list.prepare((stored) => {
  list.show_sets(shown.overview.value);
  if (stored) refresh();
});
letters.prepare(refresh);
subscriptions.prepare();
wanted = from_address();
at("search").value = wanted.search;
put(at("zone"), zone());
sign_in();
