"use strict";
// A file of its own, so that the page's policy can forbid every script inside the HTML.

const element = document.getElementById("docs");
const KEPT = "docs-authorized";

// Swagger UI would keep the user's name, password and refresh token, and for ever: an earlier version of this page let it.
localStorage.removeItem("authorized");

// A reload keeps the caller logged in, by the access token alone, and nothing outlives the tab.
function keep(authorized) {
  const kept = Object.entries(authorized).map(([name, { schema, value, token }]) => [
    name,
    { name, schema, value: typeof value === "string" ? value : undefined, token: token && { access_token: token.access_token, token_type: token.token_type } },
  ]);
  if (kept.length) sessionStorage.setItem(KEPT, JSON.stringify(Object.fromEntries(kept)));
  else sessionStorage.removeItem(KEPT);
}

const ui = SwaggerUIBundle({
  domNode: element,
  url: element.dataset.openapiUrl,
  presets: [SwaggerUIBundle.presets.apis],
  plugins: [
    () => ({
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
  // Whatever the layout, no validator on the internet is asked about the document.
  validatorUrl: null,
  onComplete: () => {
    const kept = sessionStorage.getItem(KEPT);
    if (kept) ui.authActions.restoreAuthorization({ authorized: JSON.parse(kept) });
  },
});
