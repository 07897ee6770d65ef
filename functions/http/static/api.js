// What both pages share: the token, calls to the API, and its errors as sentences.

const KEY = "accessToken";

export const token = {
  get: () => sessionStorage.getItem(KEY) ?? "",
  set: (text) => sessionStorage.setItem(KEY, text.trim().replace(/^Bearer\s+/i, "")),
  forget: () => sessionStorage.removeItem(KEY),
};

// An answer that is an error, or none at all. `status` is 0 where there was no answer.
export class Trouble extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

// Send a request with the token; return the response, whatever its status.
export async function send(method, path, { body, headers } = {}) {
  const all = { ...headers };
  if (token.get()) all.Authorization = `Bearer ${token.get()}`;
  if (body !== undefined) all["Content-Type"] = "application/json";
  try {
    return await fetch(path, { method, headers: all, body, cache: "no-store" });
  } catch (error) {
    if (error instanceof TypeError && /header/i.test(error.message)) {
      throw new Trouble("The token has characters that no token has: copy it again.", 401);
    }
    throw new Trouble("The service does not answer. Is it running?", 0);
  }
}

// Read JSON; null where it has not changed since `etag`. Throws Trouble for every other answer.
export async function read(path, etag) {
  const response = await send("GET", path, { headers: etag ? { "If-None-Match": etag } : {} });
  if (response.status === 304) return null;
  if (!response.ok) throw new Trouble(sentence(response, await response.text()), response.status);
  return { value: await response.json(), etag: response.headers.get("ETag") };
}

// Say in a sentence what an answer that is an error means.
export function sentence(response, text) {
  const said = explanation_in(text);
  if (response.status === 401) return `The token was not accepted. ${said || "Paste another."}`;
  if (response.status === 403) return `This token may not do that. ${said}`.trim();
  return said || `The service answered ${response.status} without saying why. Try again later.`;
}

function explanation_in(text) {
  try {
    const message = JSON.parse(text).error.message;
    return typeof message === "string" ? message : "";
  } catch {
    return "";
  }
}

// Make an element; attributes that are false or null are left out.
export function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value !== false && value !== null && value !== undefined) {
      element.setAttribute(key, value === true ? "" : value);
    }
  }
  element.append(...children);
  return element;
}
