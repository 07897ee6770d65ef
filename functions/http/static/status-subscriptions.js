// The subscriptions of the status page, read whenever their part of the page is opened.

import { make, read } from "/pages/api.js";
import { at, put } from "/pages/status-parts.js";

const COLUMNS = ["Receiver", "Resource", "Health", "Last fault", "Expires"];

export function prepare() {
  at("subscriptions").addEventListener("toggle", show);
}

export function close() {
  at("subscriptions").open = false;
  at("subscriptions-table").replaceChildren();
}

async function show() {
  if (!at("subscriptions").open) return;
  put(at("subscriptions-note"), "Reading …");
  try {
    const { value } = await read("/status/subscriptions", null);
    const none = value.enabled
      ? "There is no subscription."
      : "The setting NOTIFICATION_HOSTS names no host: there can be no subscription.";
    put(at("subscriptions-note"), value.value.length ? "" : none);
    at("subscriptions-table").replaceChildren(
      make("thead", {}, make("tr", {}, ...COLUMNS.map((name) => make("th", { scope: "col" }, name)))),
      make("tbody", {}, ...value.value.map(row)),
    );
    at("subscriptions-table").hidden = !value.value.length;
  } catch (error) {
    put(at("subscriptions-note"), error.message);
  }
}

function row({ notificationUrl, resource, health, fault, expirationDateTime }) {
  const set = resource.split("/")[3];
  const about = resource.endsWith("/provisioningFlows") ? `flow set ${set}` : "all flow sets";
  const expires = new Date(expirationDateTime).toLocaleString();
  const cells = [about, health, fault ?? "", expires].map((text) => make("td", {}, text));
  return make("tr", {}, make("th", { scope: "row" }, notificationUrl), ...cells);
}
