// The table of the status page: a row a flow set, a column a kind, and below a row what a flow did.

import { make, read } from "/pages/api.js";
import {
  KINDS, SETS, STATUSES, age, announce, at, badge, change, confirm, exactly, keep, may_write, moment, put,
} from "/pages/status-parts.js";

const REASONS = {
  created: "Created; its check is on the way.",
  updated: "Changed; its check is on the way.",
  reset: "Reset; its check is on the way.",
};

let opened = null; // the id of the flow whose details are shown
let changed = () => {};

// `after_change` is called when a flow was changed from here.
export function prepare(after_change) {
  changed = after_change;
  const columns = ["Flow set", ...Object.values(KINDS)];
  at("sets").tHead.replaceChildren(
    make("tr", { role: "row" },
      ...columns.map((name) => make("th", { role: "columnheader", scope: "col" }, name))),
  );
}

export function close() {
  opened = null;
}

export function show_sets(sets) {
  if (opened && !sets.some((set) => set.flows.some((flow) => flow.id === opened))) opened = null;
  const rows = sets.flatMap((set) => {
    const flow = set.flows.find((each) => each.id === opened);
    return flow ? [{ set }, { set, flow }] : [{ set }];
  });
  const was_inside = at("sets").contains(document.activeElement);
  keep(
    at("sets").tBodies[0], rows,
    ({ set, flow }) => (flow ? `details ${flow.id}` : set.id),
    ({ set, flow }) => (flow ? new_details(set, flow) : new_set(set)),
    (row, { set, flow }) => (flow ? show_details(row, flow) : show_set(row, set)),
  );
  // The row that had the focus is gone.
  if (was_inside && !at("sets").contains(document.activeElement)) at("list").focus({ preventScroll: true });
}

function new_set(set) {
  const link = make("a", { href: `/status?search=${set.id}`, class: "name" });
  return make("tr", { class: "set", role: "row" },
    make("th", { role: "rowheader", scope: "row" }, link, make("span", { class: "quiet id" }, set.id)),
    ...Object.values(KINDS).map((name) => make("td", { role: "cell", "data-label": name })));
}

function show_set(row, set) {
  put(row.cells[0].firstElementChild, set.displayName);
  Object.keys(KINDS).forEach((kind, index) => {
    const flow = set.flows.find((each) => each.kind === kind);
    const cell = row.cells[index + 1];
    keep(cell, flow ? [flow] : [{ id: "none" }], (each) => each.id,
      (each) => (each.kind ? new_flow(set, each) : make("span", { class: "quiet" }, "none")),
      (child, each) => each.kind && show_flow(child, set, each));
  });
}

function new_flow(set, flow) {
  const button = make("button", { type: "button", class: "flow plain", "aria-expanded": "false" });
  button.addEventListener("click", () => toggle(flow.id, button));
  return make("div", {}, button, make("p", { class: "reason" }),
    make("p", { class: "quiet since" }, make("time"), make("span")));
}

function show_flow(box, set, flow) {
  const [button, reason, since] = box.children;
  const status = flow.stuck ? "stuck" : flow.readinessStatus;
  const before = button.dataset.status;
  if (before !== status) {
    button.dataset.status = status;
    button.replaceChildren(badge(status), make("span", { class: "hidden" }, `, ${KINDS[flow.kind]} of ${set.displayName}: details`));
    if (before) announce(`${KINDS[flow.kind]} of ${set.displayName}: ${STATUSES[status]?.[1] ?? status}`);
  }
  button.setAttribute("aria-expanded", String(flow.id === opened));
  put(reason, flow.reason ?? "");
  reason.hidden = !flow.reason;
  const [time, extra] = since.children;
  time.dateTime = flow.changedDateTime ?? "";
  time.title = exactly(flow.changedDateTime);
  put(time, `since ${moment(flow.changedDateTime)}`);
  const checks = flow.readinessStatus === "notReady" && flow.asks > 1 ? `, check requested ${flow.asks} times` : "";
  put(extra, flow.changedDateTime ? ` · ${age(flow.changedDateTime)}${checks}` : "");
}

// --- what a flow did, and what can be done about it -----------------------------------------

function toggle(flow, button) {
  if (opened === flow) {
    at(`details-${flow}`)?.closest("tr").remove();
    opened = null;
    button.setAttribute("aria-expanded", "false");
    return;
  }
  opened = flow;
  changed();
  at(`details-${flow}`)?.focus();
}

function new_details(set, flow) {
  const title = make("h3", { id: `details-${flow.id}`, tabindex: "-1" }, `${KINDS[flow.kind]} of ${set.displayName}`);
  const shut = make("button", { type: "button", class: "plain" }, "Close");
  const row = make("tr", { class: "details", role: "row" },
    make("td", { role: "cell", colspan: String(1 + Object.keys(KINDS).length) },
      make("div", { class: "head" }, title, shut),
      make("p", { class: "quiet facts" }), make("div", { class: "history" }), make("div", { class: "row acts" })));
  shut.addEventListener("click", () => leave(row, flow.id));
  row.addEventListener("keydown", (event) => event.key === "Escape" && leave(row, flow.id));
  row.dataset.set = set.id;
  const acts = row.querySelector(".acts");
  if (may_write()) {
    const reset = make("button", { type: "button" }, "Reset and check again");
    reset.addEventListener("click", () => ask_reset(set, flow, title));
    acts.append(reset);
  } else acts.append(make("p", { class: "quiet" }, "With a token that may write, this flow can be reset here."));
  return row;
}

function leave(row, flow) {
  const button = row.previousElementSibling.querySelector('[aria-expanded="true"]');
  row.remove();
  if (opened === flow) opened = null;
  button?.setAttribute("aria-expanded", "false");
  button?.focus();
}

function show_details(row, flow) {
  put(row.querySelector(".facts"), `Flow ${flow.id}; revision ${flow.revision}.`);
  const version = `${flow.revision} ${flow.changedDateTime}`;
  if (row.dataset.version === version) return;
  row.dataset.version = version;
  load_history(row, flow, version);
}

async function load_history(row, flow, version) {
  const box = row.querySelector(".history");
  try {
    const found = await read(`${SETS}/${row.dataset.set}/provisioningFlows/${flow.id}/readinessHistory`);
    if (row.dataset.version === version) box.replaceChildren(history_table(found.value.value));
  } catch (error) {
    row.dataset.version = "";
    box.replaceChildren(make("p", { class: "trouble" }, error.message));
  }
}

function history_table(entries) {
  return make("ol", { class: "entries", "aria-label": "What happened, newest first" },
    ...entries.map((entry) => {
      const reason = entry.readinessStatus === "notReady" ? REASONS[entry.reason] ?? entry.reason : entry.reason;
      return make("li", {}, badge(entry.readinessStatus),
        make("time", { datetime: entry.appliedDateTime, class: "quiet" }, exactly(entry.appliedDateTime)),
        make("span", {}, reason ?? ""));
    }));
}

async function ask_reset(set, flow, title) {
  const done = await confirm({
    title: "Reset this flow?",
    text: `${KINDS[flow.kind]} of ${set.displayName} becomes not ready, its errors are cleared and it is checked again. `
      + "Its configuration stays as it is.",
    yes: "Reset and check again",
    act: () => change(`${SETS}/${set.id}/provisioningFlows/${flow.id}/reset`),
  });
  if (!done) return;
  title.focus();
  announce("Reset; its check is on the way.");
  changed(true);
}
