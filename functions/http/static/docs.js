// The description of the API, to be read and to be tried: written from /openapi.json.

import { Trouble, make, read, send, sentence, token } from "/pages/api.js";

const SETS = "/beta/external/industryData/outboundProvisioningFlowSets";
const FLOWS = `${SETS}/{set_id}/provisioningFlows`;
const at = (id) => document.getElementById(id);
let description = null;
// Ids that an answer brought, for the fields of that name.
const known = {};

// --- sending --------------------------------------------------------------------------------

// Send a request and show it with its answer; return the answer's JSON, null where there is none.
async function exchange(box, method, path, body, trigger) {
  trigger.disabled = true;
  try {
    const response = await send(method, path, { body });
    const text = await response.text();
    show_exchange(box, method, path, body, response, text);
    return response.ok ? parsed(text) : null;
  } catch (error) {
    if (!(error instanceof Trouble)) throw error;
    box.replaceChildren(make("p", { class: "trouble", role: "alert" }, error.message));
    return null;
  } finally {
    trigger.disabled = false;
  }
}

function show_exchange(box, method, path, body, response, text) {
  const parts = [
    make("h3", {}, "Request"),
    code(`${method} ${path}\nAuthorization: Bearer …${body === undefined ? "" : `\nContent-Type: application/json\n\n${body}`}`, "Request"),
    make("h3", {}, "Answer"),
  ];
  if (response.ok) parts.push(make("p", { role: "status" }, `${response.status} ${meaning(response.status)}`));
  else {
    const details = parsed(text)?.error?.details ?? [];
    parts.push(
      make("p", { class: "trouble", role: "alert" }, `${sentence(response, text)} (${response.status})`),
      make("ul", {}, ...details.map((each) => make("li", {}, `${each.target ?? ""}: ${each.message}`))),
    );
  }
  const location = response.headers.get("Location");
  if (location) parts.push(make("p", { class: "quiet" }, `Location: ${location}`));
  if (text) parts.push(code(pretty(text), "Answer"));
  box.replaceChildren(...parts);
}

function meaning(status) {
  const words = { 200: "OK", 201: "Created", 202: "Accepted", 204: "No Content" };
  return words[status] ?? "";
}

function code(text, label) {
  return make("pre", { tabindex: "0", role: "region", "aria-label": label }, text);
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

const pretty = (text) => (parsed(text) === null ? text : JSON.stringify(parsed(text), null, 2));

function remember(name, id) {
  known[name] = id;
  for (const input of document.querySelectorAll(`input[data-name="${name}"]`)) input.value = id;
}

// --- the four examples ----------------------------------------------------------------------

function set_up_tour() {
  const create = description.paths[FLOWS].post.requestBody.content["application/json"].examples;
  at("example").replaceChildren(
    ...Object.keys(create).map((name) => make("option", { value: name }, name.replaceAll("_", " "))),
  );
  at("newset").addEventListener("click", async (event) => {
    const body = JSON.stringify({ displayName: "Contoso schools" }, null, 2);
    const set = await exchange(at("tour"), "POST", SETS, body, event.target);
    if (set === null) return;
    remember("set_id", set.id);
    at("setid").textContent = set.id;
    at("sendexample").disabled = false;
    at("readflow").disabled = true;
  });
  at("sendexample").addEventListener("click", async (event) => {
    const body = JSON.stringify(create[at("example").value].value, null, 2);
    const flow = await exchange(at("tour"), "POST", FLOWS.replace("{set_id}", known.set_id), body, event.target);
    if (flow === null) return;
    remember("flow_id", flow.id);
    at("readflow").disabled = false;
  });
  at("readflow").addEventListener("click", (event) =>
    exchange(at("tour"), "GET", `${FLOWS.replace("{set_id}", known.set_id)}/${known.flow_id}`, undefined, event.target),
  );
}

// --- the operations -------------------------------------------------------------------------

function show_operations() {
  const list = at("operations");
  for (const { name: tag } of description.tags) {
    list.append(make("h2", {}, tag));
    for (const [path, methods] of Object.entries(description.paths)) {
      for (const [method, operation] of Object.entries(methods)) {
        if (operation.tags[0] === tag) list.append(operation_of(method.toUpperCase(), path, operation));
      }
    }
  }
}

function operation_of(method, path, operation) {
  const details = make(
    "details", { class: "operation", id: operation.operationId },
    make(
      "summary", {},
      make("span", { class: `method ${method.toLowerCase()}` }, method),
      make("span", { class: "path" }, path),
      make("span", { class: "quiet" }, operation.summary),
    ),
  );
  // What is inside is made when somebody wants to see it.
  details.addEventListener("toggle", () => {
    if (details.open && details.children.length === 1) details.append(...inside(method, path, operation));
  });
  return details;
}

function inside(method, path, operation) {
  const parts = [];
  if (operation.description) parts.push(make("p", {}, operation.description));
  const permissions = [...new Set(operation.security.flatMap((each) => each.entra))];
  parts.push(
    make("p", { class: "quiet" }, permissions.length ? `Needs one of: ${permissions.join(", ")}.` : "Open to anyone."),
  );
  const form = make("form", {});
  const parameters = operation.parameters.map((each) => resolved(each)).filter((each) => each.in !== "header");
  form.append(fields(parameters, operation.operationId));
  const area = body_of(operation, form);
  const answers = Object.entries(operation.responses).map(
    ([status, answer]) => make("li", {}, `${status}: ${resolved(answer).description}`),
  );
  const button = make("button", { type: "submit" }, `Send ${method}`);
  const box = make("div", { class: "exchange" });
  form.append(button);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const answer = await exchange(box, method, address(path, form), area?.value, button);
    if (method === "POST" && path === SETS && answer) remember("set_id", answer.id);
    if (method === "POST" && path === FLOWS && answer) remember("flow_id", answer.id);
  });
  return [...parts, form, box, make("details", {}, make("summary", {}, "Answers"), make("ul", {}, ...answers))];
}

function fields(parameters, operation) {
  const grid = make("div", { class: "fields" });
  for (const parameter of parameters) {
    const id = `${operation}-${parameter.name}`;
    const input = make("input", {
      id, "data-name": parameter.name, "data-in": parameter.in, required: parameter.required === true,
      autocomplete: "off", spellcheck: "false", "aria-describedby": `${id}-text`,
    });
    if (parameter.in === "path") input.value = known[parameter.name] ?? "";
    grid.append(
      make("label", { for: id }, parameter.name), input,
      make("span", { class: "quiet", id: `${id}-text` }, parameter.description),
    );
  }
  return grid;
}

function body_of(operation, form) {
  const content = operation.requestBody?.content["application/json"];
  if (!content) return null;
  const id = `${operation.operationId}-body`;
  const type = content.schema.$ref.split("/").pop();
  const examples = Object.entries(content.examples ?? {});
  const area = make("textarea", { id, spellcheck: "false" });
  const fill = (name) => {
    area.value = JSON.stringify(content.examples[name].value, null, 2);
  };
  form.append(make("p", {}, make("label", { for: id }, "Body"), " ", make("a", { href: `#type-${type}` }, type)));
  if (examples.length) {
    const choice = make(
      "select", { id: `${id}-example` },
      ...examples.map(([name]) => make("option", { value: name }, name.replaceAll("_", " "))),
    );
    choice.addEventListener("change", () => fill(choice.value));
    fill(examples[0][0]);
    form.append(make("p", { class: "row" }, make("label", { for: `${id}-example` }, "Example"), choice));
  }
  form.append(make("p", {}, area));
  return area;
}

function address(path, form) {
  const query = new URLSearchParams();
  let filled = path;
  for (const input of form.querySelectorAll("input[data-name]")) {
    const { name } = input.dataset;
    if (input.dataset.in === "path") filled = filled.replace(`{${name}}`, encodeURIComponent(input.value.trim()));
    else if (input.value.trim()) query.set(name, input.value.trim());
  }
  return query.size ? `${filled}?${query}` : filled;
}

function resolved(part) {
  if (!part.$ref) return part;
  return part.$ref.split("/").slice(1).reduce((inner, step) => inner[step], description);
}

function show_types() {
  at("types").append(
    ...Object.entries(description.components.schemas).map(([name, schema]) =>
      make(
        "details", { class: "operation", id: `type-${name}` },
        make("summary", {}, make("span", { class: "path" }, name), make("span", { class: "quiet" }, schema.description ?? "")),
        code(JSON.stringify(schema, null, 2), name),
      ),
    ),
  );
}

// Open what a link leads to.
function open_target() {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (target instanceof HTMLDetailsElement) {
    target.open = true;
    if (at("types").contains(target)) at("all-types").open = true;
    target.querySelector("summary").focus();
    target.scrollIntoView();
  }
}

// --- the token ------------------------------------------------------------------------------

function show_token(text) {
  at("forget").hidden = !token.get();
  at("tokenstate").textContent = text;
}

at("signin").addEventListener("submit", (event) => {
  event.preventDefault();
  token.set(at("token").value);
  at("token").value = "";
  show_token("This tab has a token now.");
});
at("forget").addEventListener("click", () => {
  token.forget();
  show_token("The token is forgotten.");
});
show_token(token.get() ? "This tab has a token." : "");

try {
  description = (await read("/openapi.json")).value;
  at("about").textContent = description.info.description.replaceAll("`", "");
  set_up_tour();
  show_operations();
  show_types();
  addEventListener("hashchange", open_target);
  open_target();
} catch (error) {
  if (!(error instanceof Trouble)) throw error;
  at("trouble").textContent = error.message;
  at("trouble").hidden = false;
}
