"use strict";
// A file of its own, so that the page's policy can forbid every script inside the HTML.

const element = document.getElementById("docs");

SwaggerUIBundle({
  domNode: element,
  url: element.dataset.openapiUrl,
  presets: [SwaggerUIBundle.presets.apis],
  layout: "BaseLayout",
  deepLinking: true,
  displayRequestDuration: true,
  filter: true,
  persistAuthorization: true,
  tryItOutEnabled: true,
  // Whatever the layout, no validator on the internet is asked about the document.
  validatorUrl: null,
});
