// What the parts of the status page share: words, times, lists that keep their focus, a confirmation.

import { make, send, sentence, token } from "/pages/api.js";

export const SETS = "/beta/external/industryData/outboundProvisioningFlowSets";
export const KINDS = {
  userProvisioningFlow: "Users",
  classGroupProvisioningFlow: "Class groups",
  securityGroupProvisioningFlow: "Security groups",
  administrativeUnitProvisioningFlow: "Administrative units",
};
export const STATUSES = {
  failed: ["✕", "failed"],
  expired: ["!", "expired"],
  stuck: ["…!", "stuck"],
  disabled: ["–", "disabled"],
  notReady: ["…", "not ready"],
  ready: ["✓", "ready"],
};
const WRITE = "IndustryData-OutboundFlow.ReadWrite.All";

export const at = (id) => document.getElementById(id);

export function put(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

// Say something to those who do not see the page.
export const announce = (text) => put(at("news"), text);

// Make the children of a node those of a list, by key: what stays keeps its focus and its state.
export function keep(parent, list, key, create, update) {
  const focused = document.activeElement;
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
  // What is moved loses the focus.
  if (document.activeElement !== focused && focused.isConnected) focused.focus({ preventScroll: true });
}

export function badge(status) {
  const [sign, text] = STATUSES[status] ?? ["?", status];
  return make("span", { class: `badge ${status}` }, make("span", { "aria-hidden": "true" }, sign), ` ${text}`);
}

const numbers = new Intl.NumberFormat();
export const count = (number) => numbers.format(number);
export const several = (number, one, many) => `${count(number)} ${number === 1 ? one : many}`;

const minute = { month: "short", day: "numeric", hour: "2-digit", minute: "2-digit" };
const short = new Intl.DateTimeFormat(undefined, minute);
const other_year = new Intl.DateTimeFormat(undefined, { ...minute, year: "numeric" });
const long = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "long" });

export function moment(text) {
  if (!text) return "an unknown time";
  const date = new Date(text);
  return (date.getFullYear() === new Date().getFullYear() ? short : other_year).format(date);
}

export const exactly = (text) => (text ? long.format(new Date(text)) : "an unknown time");

export function zone() {
  const { timeZone } = short.resolvedOptions();
  const parts = new Intl.DateTimeFormat(undefined, { timeZoneName: "longOffset" }).formatToParts(new Date());
  return `Times are in ${timeZone} (${parts.find((part) => part.type === "timeZoneName").value})`;
}

export function age(text) {
  const seconds = Math.max(0, (Date.now() - new Date(text)) / 1000);
  for (const [size, unit] of [[86400, "d"], [3600, "h"], [60, "min"]]) {
    if (seconds >= size) return `${Math.floor(seconds / size)} ${unit}`;
  }
  return "just now";
}

// Whether the token looks as if it may write; the service decides.
export function may_write() {
  try {
    const [, middle] = token.get().split(".");
    const { roles = [], scp } = JSON.parse(atob(middle.replaceAll("-", "+").replaceAll("_", "/")));
    return roles.includes(WRITE) && (scp === undefined || scp.split(" ").includes(WRITE));
  } catch {
    return false;
  }
}

// Send a change; return the answer's JSON, if any. Throws an Error with a sentence.
export async function change(path, body) {
  const json = body === undefined ? undefined : JSON.stringify(body);
  const response = await send("POST", path, { body: json });
  const text = await response.text();
  if (!response.ok) throw new Error(sentence(response, text));
  return text ? JSON.parse(text) : null;
}

// Ask before something is changed. `act(reason)` does it; where it throws, the dialog stays open with
// the message. Returns whether it was done.
export function confirm({ title, text, yes, reason, act }) {
  const dialog = at("confirm");
  put(at("confirm-title"), title);
  put(at("confirm-text"), text);
  put(at("confirm-yes"), yes);
  at("confirm-why").hidden = !reason;
  at("confirm-reason").required = Boolean(reason);
  at("confirm-reason").value = "";
  at("confirm-trouble").hidden = true;
  return new Promise((resolve) => {
    // Not by the event `close`: it comes late, when another question may be open.
    const end = (done) => {
      dialog.close();
      resolve(done);
    };
    at("confirm-form").onsubmit = async (event) => {
      event.preventDefault();
      at("confirm-yes").disabled = true;
      try {
        await act(at("confirm-reason").value.trim());
        end(true);
      } catch (error) {
        put(at("confirm-trouble"), error.message);
        at("confirm-trouble").hidden = false;
      } finally {
        at("confirm-yes").disabled = false;
      }
    };
    at("confirm-no").onclick = () => end(false);
    dialog.oncancel = (event) => {
      event.preventDefault();
      end(false);
    };
    dialog.showModal();
    (reason ? at("confirm-reason") : at("confirm-no")).focus();
  });
}
