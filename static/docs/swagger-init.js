"use strict";
// The script is a separate file, so that the page's policy can forbid all inline scripts.

const element = document.getElementById("docs");
const KEPT = "docs-authorized";

// Swagger UI stores the username, password and refresh token for ever. An earlier version of this page
// allowed that, so stored values are removed.
withStorage(() => localStorage.removeItem("authorized"));

// Answers undefined in a browser that stores nothing.
function withStorage(work) {
  try {
    return work();
  } catch {
    return undefined;
  }
}

// Only the access token is stored, in the tab, so that a reload keeps the caller logged in.
function keep(authorized) {
  const kept = Object.entries(authorized).map(([name, { schema, value, token }]) => [
    name,
    { name, schema, value: typeof value === "string" ? value : undefined, token: token && { access_token: token.access_token, token_type: token.token_type } },
  ]);
  withStorage(() =>
    kept.length ? sessionStorage.setItem(KEPT, JSON.stringify(Object.fromEntries(kept))) : sessionStorage.removeItem(KEPT),
  );
}

dark.addEventListener("change", paint);

const ui = SwaggerUIBundle({
  domNode: element,
  url: element.dataset.openapiUrl,
  presets: [SwaggerUIBundle.presets.apis],
  plugins: [
    () => ({
      // Swagger UI hides read-only fields from a request. It remembers this, and then hides them from answers too.
      afterLoad(system) {
        system.fn.jsonSchema202012.getProperties = (schema) => schema?.properties ?? {};
      },
      statePlugins: {
        auth: {
          wrapActions: {
            persistAuthorizationIfNeeded: (_original, system) => () => {
              keep(system.authSelectors.authorized().toJS());
              return { type: "kept_for_this_tab" };
            },
          },
        },
      },
    }),
  ],
  layout: "BaseLayout",
  deepLinking: true,
  displayRequestDuration: true,
  filter: true,
  persistAuthorization: false,
  tryItOutEnabled: true,
  // No layout may send the document to a validator on the internet.
  validatorUrl: null,
  onComplete: () => {
    const kept = withStorage(() => sessionStorage.getItem(KEPT));
    if (kept) ui.authActions.restoreAuthorization({ authorized: JSON.parse(kept) });
  },
});
