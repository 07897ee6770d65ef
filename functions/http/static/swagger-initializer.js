// Starts Swagger UI with this service's description.

const dark = matchMedia("(prefers-color-scheme: dark)");
const follow = () => document.documentElement.classList.toggle("dark-mode", dark.matches);
dark.addEventListener("change", follow);
follow();

// Long code scrolls: by keyboard only where it takes the focus.
const scrollable = (Original, { React }) => (props) => {
  const ref = (box) => box?.querySelectorAll("pre").forEach((code) => code.setAttribute("tabindex", "0"));
  return React.createElement("div", { ref }, React.createElement(Original, props));
};

// What assistive technology needs beyond what Swagger UI renders.
const Accessible = () => ({
  wrapComponents: {
    authorizationPopup: (Original, { React }) => (props) =>
      React.createElement(
        "div", { role: "dialog", "aria-label": "Access token" },
        React.createElement("h2", { className: "visually-hidden" }, "Access token"),
        React.createElement(Original, props),
      ),
    // A button's text is its name; some have another in aria-label.
    Button: (Original, { React }) => (props) =>
      React.createElement(
        Original, typeof props.children === "string" ? { ...props, "aria-label": undefined } : props,
      ),
    CloseIcon: (Original, { React }) => (props) => [
      React.createElement(Original, { ...props, key: "icon" }),
      React.createElement("span", { className: "visually-hidden", key: "text" }, "Close"),
    ],
    curl: scrollable,
    // A link inside the button that opens an operation; the button alone leads there, too.
    DeepLink: (_, { React }) => ({ text }) => React.createElement("span", null, text),
    // A label around the choice and its text.
    ExamplesSelect: (Original, { React }) => (props) =>
      React.createElement("label", null, React.createElement(Original, { ...props, showLabels: true })),
    HighlightCode: scrollable,
    InfoContainer: (Original, { React }) => (props) =>
      React.createElement("section", { "aria-label": "About this API" }, React.createElement(Original, props)),
    // The token is a secret.
    Input: (Original, { React }) => (props) =>
      React.createElement(
        Original,
        props.id === "auth-bearer-value"
          ? { ...props, type: "password", autoComplete: "off", "aria-label": undefined }
          : props,
      ),
    // A level between the title and the groups of operations.
    operations: (Original, { React }) => (props) => [
      React.createElement("h2", { className: "visually-hidden", key: "title" }, "Operations"),
      React.createElement(Original, { ...props, key: "operations" }),
    ],
    // There is one server: a choice without a choice, and without a label.
    ServersContainer: () => () => null,
    TextArea: (Original, { React }) => (props) =>
      React.createElement(Original, { "aria-label": "Request body", ...props }),
  },
});

// Swagger UI hides the schema of a body while the body can be edited: show it beside the form.
const SchemaBesideForm = () => ({
  wrapComponents: {
    RequestBody: (Original, { React }) => (props) => {
      const { contentType, getComponent, getConfigs, isExecute, requestBody, specPath, specSelectors } = props;
      const schema = requestBody?.getIn(["content", contentType, "schema"]);
      const form = React.createElement(Original, { ...props, key: "form" });
      if (!isExecute || !schema) return form;
      const model = React.createElement(getComponent("ModelWrapper"), {
        getComponent, getConfigs, specSelectors, schema, key: "schema",
        expandDepth: 1, includeReadOnly: false, includeWriteOnly: true,
        specPath: specPath.push("content", contentType, "schema"),
      });
      return React.createElement("div", { className: "body-and-schema" }, form, model);
    },
  },
});

SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#swagger-ui",
  plugins: [Accessible, SchemaBesideForm],
  deepLinking: true,
  defaultModelsExpandDepth: 0,
  displayRequestDuration: true,
  // The token of Authorize is gone when the page is left.
  persistAuthorization: false,
  tryItOutEnabled: true,
  // No call to the validator of swagger.io.
  validatorUrl: null,
});
