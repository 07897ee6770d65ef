// The dead letters of the status page: what is wrong with each, back to the queue, or discarded.

import { make, read } from "/pages/api.js";
import { announce, at, change, confirm, keep, may_write, put } from "/pages/status-parts.js";

const LETTERS = "/status/dead-letters";
let after = ""; // the name that the page before ended with
let last = "";
let changed = () => {};

// `after_change` is called when a dead letter was replayed or discarded.
export function prepare(after_change) {
  changed = after_change;
  at("letters-close").addEventListener("click", () => {
    at("letters").hidden = true;
    document.querySelector('[data-key="dead"] button')?.focus();
  });
  at("letters-more").addEventListener("click", async () => {
    after = last;
    await show();
    at("letters-title").focus();
  });
}

export async function open() {
  after = "";
  at("letters").hidden = false;
  at("letters-title").focus();
  await show();
}

export function close() {
  at("letters").hidden = true;
  at("letters-list").replaceChildren();
}

async function show() {
  put(at("letters-note"), "Reading …");
  let found;
  try {
    found = (await read(`${LETTERS}${after ? `?after=${encodeURIComponent(after)}` : ""}`)).value;
  } catch (error) {
    put(at("letters-note"), error.message);
    return;
  }
  const writes = may_write();
  put(at("letters-note"), found.value.length
    ? `Oldest first.${writes ? "" : " With a token that may write, they can be replayed or discarded here."}`
    : "No dead letter waits.");
  keep(at("letters-list"), found.value, (letter) => letter.name, (letter) => new_letter(letter, writes), () => {});
  last = found.value.at(-1)?.name ?? "";
  at("letters-more").hidden = !found.more;
}

function new_letter(letter, writes) {
  const acts = make("div", { class: "row acts" });
  if (writes) {
    for (const [text, ask] of [["Replay", ask_replay], ["Discard", ask_discard]]) {
      const button = make("button", { type: "button", class: "plain", "aria-label": `${text} ${letter.name}` }, text);
      button.addEventListener("click", () => ask(letter));
      acts.append(button);
    }
  }
  return make("li", {},
    make("div", {},
      make("p", { class: "reason" }, letter.fault ?? letter.reason ?? "It was well-formed, but could not be processed."),
      make("p", { class: "quiet" }, letter.type ?? "No event"),
      make("p", { class: "quiet id" }, letter.name)),
    acts);
}

function ask_replay(letter) {
  return ask(letter, "replayed", {
    title: "Replay this dead letter?",
    text: `${letter.name} goes back to the queue and is processed again.`,
    yes: "Replay",
    act: () => sent("replay", { names: [letter.name] }),
  });
}

function ask_discard(letter) {
  return ask(letter, "discarded", {
    title: "Discard this dead letter?",
    text: `${letter.name} waits no more. What is kept of it stays in the archive, with your reason.`,
    yes: "Discard",
    reason: true,
    act: (reason) => sent("discard", { names: [letter.name], reason }),
  });
}

async function sent(action, body) {
  const { refused } = await change(`${LETTERS}/${action}`, body);
  if (refused.length) throw new Error(refused[0].why);
}

async function ask(letter, done, question) {
  if (!(await confirm(question))) return;
  await show();
  at("letters-title").focus();
  announce(`One dead letter ${done}.`);
  changed();
}
