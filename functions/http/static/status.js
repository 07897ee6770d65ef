// The operator's page: asks for the overview every few seconds and changes what has changed.
// It only ever sends GET.

import { make, read, token } from "/pages/api.js";

const SETS = "/beta/external/industryData/outboundProvisioningFlowSets";
const EVERY = 5000; // milliseconds between questions; none while the page is hidden
const AFTER_TROUBLE = 15000;
const PAGE = 50;
const MOST = 500;

const KINDS = {
  userProvisioningFlow: "Users",
  classGroupProvisioningFlow: "Class groups",
  securityGroupProvisioningFlow: "Security groups",
  administrativeUnitProvisioningFlow: "Administrative units",
};
const STATUSES = {
  ready: ["✓", "ready"],
  notReady: ["…", "not ready"],
  failed: ["✕", "failed"],
  disabled: ["–", "disabled"],
  expired: ["!", "expired"],
};
const REASONS = {
  created: "Created; its check is on the way.",
  updated: "Changed; its check is on the way.",
  reset: "Reset; its check is on the way.",
};

const at = (id) => document.getElementById(id);
let shown = { etag: null, path: null };
let top_ = PAGE;
let timer = null;
let asking = false;
let again = false;

// --- asking ---------------------------------------------------------------------------------

function path() {
  const query = new URLSearchParams({ top: String(top_) });
  if (at("search").value.trim()) query.set("search", at("search").value.trim());
  if (at("status").value) query.set("status", at("status").value);
  return `/status/overview?${query}`;
}

async function refresh() {
  clearTimeout(timer);
  if (document.hidden || !token.get()) return;
  if (asking) {
    again = true; // what is to be shown changed meanwhile
    return;
  }
  asking = true;
  let wait = EVERY;
  try {
    const wanted = path();
    const found = await read(wanted, wanted === shown.path ? shown.etag : null);
    if (found !== null && token.get()) {
      shown = { etag: found.etag, path: wanted };
      show(found.value);
    }
    tell_trouble("");
    at("live").textContent = `Live; last asked at ${clock(new Date())}`;
    if (token.get()) at("content").hidden = false;
  } catch (error) {
    wait = AFTER_TROUBLE;
    tell_trouble(error.message);
    at("live").textContent = "";
    if (error.status === 401 || error.status === 403) {
      sign_out();
      return;
    }
  } finally {
    asking = false;
  }
  if (again) {
    again = false;
    refresh();
    return;
  }
  timer = setTimeout(refresh, wait);
}

function tell_trouble(text) {
  const box = at("trouble");
  if (box.textContent !== text) box.textContent = text;
  box.hidden = !text;
}

// --- signing in -----------------------------------------------------------------------------

function sign_in() {
  const inside = Boolean(token.get());
  at("signin").hidden = inside;
  at("forget").hidden = !inside;
  if (inside) refresh();
  else {
    at("content").hidden = true;
    at("live").textContent = "";
  }
}

function sign_out() {
  token.forget();
  shown = { etag: null, path: null };
  for (const id of ["sets", "totals"]) at(id).replaceChildren();
  sign_in();
  at("token").focus();
}

// --- showing --------------------------------------------------------------------------------

function show(overview) {
  show_totals(overview);
  show_counts(overview.counts);
  keep(at("sets"), overview.value, (each) => each.id, new_set, show_set);
  const number = overview.value.length;
  const found = number
    ? `${number}${overview.more ? "+" : ""} flow set${number === 1 ? "" : "s"}`
    : "";
  if (at("found").textContent !== found) at("found").textContent = found;
  if (!number) at("sets").append(make("p", { class: "quiet", "data-key": "none" }, nothing()));
  at("more").hidden = !overview.more || top_ >= MOST;
}

function nothing() {
  const chosen = at("search").value.trim() || at("status").value;
  return chosen ? "No flow set is like that." : "There are no flow sets yet.";
}

// Make the children of a node those of a list, by key: what stays keeps its focus and its state.
function keep(parent, list, key, create, update) {
  const before = new Map([...parent.children].map((child) => [child.dataset.key, child]));
  let next = parent.firstElementChild;
  for (const each of list) {
    const id = key(each);
    let child = before.get(id);
    if (child) before.delete(id);
    else {
      child = create(each);
      child.dataset.key = id;
    }
    update(child, each);
    if (child === next) next = next.nextElementSibling;
    else parent.insertBefore(child, next);
  }
  for (const gone of before.values()) gone.remove();
}

function show_totals({ flowSets, counts, queue, deadLetters }) {
  const of = (status) => Object.values(counts).reduce((sum, kind) => sum + (kind[status] ?? 0), 0);
  const more = queue && !queue.complete ? "+" : "";
  const tiles = [
    ["sets", "", "Flow sets", flowSets, ""],
    ...Object.entries(STATUSES).map(([status, [sign, text]]) => [
      status, status, `${sign} ${text}`, of(status), "",
    ]),
    queue
      ? ["queue", "", "In the queue", `${queue.waiting}${more}`, queue.scheduled ? `${queue.scheduled} for later` : ""]
      : ["queue", "", "In the queue", "?", "Service Bus does not answer"],
    deadLetters && queue
      ? [
          "dead", deadLetters.notReplayed + queue.deadLettered ? "failed" : "", "Dead letters",
          `${deadLetters.notReplayed + queue.deadLettered}${more}`, `in ${deadLetters.days} days, not replayed`,
        ]
      : ["dead", "", "Dead letters", "?", "The archive does not answer"],
  ];
  keep(
    at("totals"), tiles, ([key]) => key,
    () => make("div", {}, make("dt"), make("dd"), make("dd", { class: "quiet" })),
    (tile, [, status, name, number, note]) => {
      tile.className = `tile ${status}${number === 0 ? " none" : ""}`;
      put(tile.children[0], name);
      put(tile.children[1], String(number));
      put(tile.children[2], note);
    },
  );
}

function show_counts(counts) {
  const table = at("counts");
  const statuses = Object.keys(STATUSES);
  if (!table.tHead.rows.length) {
    table.tHead.append(
      make("tr", {}, make("th", { scope: "col" }, "Kind"),
        ...statuses.map((status) => make("th", { scope: "col" }, STATUSES[status][1]))),
    );
  }
  keep(
    table.tBodies[0], Object.entries(counts), ([kind]) => kind,
    ([kind]) => make("tr", {}, make("th", { scope: "row" }, KINDS[kind] ?? kind), ...statuses.map(() => make("td"))),
    (row, [, numbers]) => statuses.forEach((status, index) => put(row.cells[index + 1], String(numbers[status] ?? 0))),
  );
}

function new_set(set) {
  const title = `set-${set.id}`;
  return make(
    "article", { class: "panel set", "aria-labelledby": title },
    make("h3", { id: title }), make("p", { class: "quiet id" }, set.id), make("div", { class: "flows" }),
  );
}

function show_set(section, set) {
  const [title, , flows] = section.children;
  put(title, set.displayName);
  keep(flows, set.flows, (flow) => flow.id, (flow) => new_flow(set, flow), show_flow);
  if (!set.flows.length) flows.append(make("p", { class: "quiet", "data-key": "none" }, "It has no flows yet."));
}

function new_flow(set, flow) {
  const details = make(
    "details", { class: "flow" },
    make("summary", {}, make("span", { class: "kind" }, KINDS[flow.kind] ?? flow.kind), make("span", { class: "badge" })),
    make("p", { class: "reason" }),
    make("p", { class: "quiet facts" }),
    make("div", { class: "history" }),
  );
  details.addEventListener("toggle", () => details.open && load_history(details, set.id, flow.id));
  details.dataset.set = set.id;
  return details;
}

function show_flow(details, flow) {
  const [summary, reason, facts] = details.children;
  const badge = summary.lastElementChild;
  const [sign, text] = STATUSES[flow.readinessStatus] ?? ["?", flow.readinessStatus];
  const before = badge.dataset.status;
  if (before !== flow.readinessStatus) {
    badge.dataset.status = flow.readinessStatus;
    badge.className = `badge ${flow.readinessStatus}`;
    badge.replaceChildren(make("span", { "aria-hidden": "true" }, sign), ` ${text}`);
    if (before) put(at("news"), `${KINDS[flow.kind]} of ${set_name(details)}: ${text}`);
  }
  put(reason, flow.reason ?? "");
  reason.hidden = !flow.reason;
  const asked = flow.readinessStatus === "notReady" && flow.asks > 1 ? `; asked for ${flow.asks} times` : "";
  put(facts, `Since ${moment(flow.changedDateTime)}; revision ${flow.revision}${asked}.`);
  const version = `${flow.revision} ${flow.changedDateTime}`;
  if (details.dataset.version !== version) {
    details.dataset.version = version;
    details.dataset.loaded = "";
    if (details.open) load_history(details, details.dataset.set, flow.id);
  }
}

function set_name(details) {
  return details.closest(".set")?.firstElementChild.textContent ?? "";
}

async function load_history(details, set, flow) {
  const version = details.dataset.version;
  if (details.dataset.loaded === version) return;
  details.dataset.loaded = version;
  const box = details.lastElementChild;
  try {
    const found = await read(`${SETS}/${set}/provisioningFlows/${flow}/readinessHistory`);
    box.replaceChildren(history_table(found.value.value));
  } catch (error) {
    details.dataset.loaded = "";
    box.replaceChildren(make("p", { class: "trouble" }, error.message));
  }
}

function history_table(entries) {
  return make(
    "ol", { class: "entries", "aria-label": "What happened, newest first" },
    ...entries.map((entry) => {
      const [sign, text] = STATUSES[entry.readinessStatus] ?? ["?", entry.readinessStatus];
      const reason = entry.readinessStatus === "notReady" ? REASONS[entry.reason] ?? entry.reason : entry.reason;
      return make(
        "li", {},
        make("span", { class: `badge ${entry.readinessStatus}` }, make("span", { "aria-hidden": "true" }, sign), ` ${text}`),
        make("time", { datetime: entry.appliedDateTime, class: "quiet" }, moment(entry.appliedDateTime)),
        make("span", {}, reason ?? ""),
      );
    }),
  );
}

function put(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

const day = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
const moment = (text) => (text ? day.format(new Date(text)) : "an unknown time");
const clock = (date) => date.toLocaleTimeString();

// --- events ---------------------------------------------------------------------------------

at("signin").addEventListener("submit", (event) => {
  event.preventDefault();
  token.set(at("token").value);
  at("token").value = "";
  sign_in();
});
at("forget").addEventListener("click", () => {
  tell_trouble("");
  sign_out();
});
at("choose").addEventListener("submit", (event) => event.preventDefault());
let typing = null;
at("search").addEventListener("input", () => {
  clearTimeout(typing);
  typing = setTimeout(choose, 250);
});
at("status").addEventListener("change", choose);
at("more").addEventListener("click", () => {
  top_ = Math.min(MOST, top_ + PAGE);
  refresh();
});
document.addEventListener("visibilitychange", refresh);
addEventListener("online", refresh);
addEventListener("offline", refresh);

function choose() {
  top_ = PAGE;
  refresh();
}

sign_in();
