// Runs before anything else: counts errors where a test can see them, and picks the theme.
(function () {
  "use strict";
  var root = document.documentElement;
  var errors = 0;
  root.dataset.errors = "0";
  root.dataset.ready = "0"; // the page answers
  root.dataset.drawn = "0"; // every figure stands
  function note(text) {
    errors += 1;
    root.dataset.errors = String(errors);
    root.dataset.error = String(text).slice(0, 300);
  }
  addEventListener("error", function (event) { note(event.message || "a resource failed"); }, true);
  addEventListener("unhandledrejection", function (event) { note(event.reason); });
  addEventListener("securitypolicyviolation", function (event) {
    note("blocked " + event.effectiveDirective + " " + event.blockedURI);
  });
  var asked = location.hash === "#dark" || location.hash === "#light";
  var dark = matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = asked ? location.hash.slice(1) : dark ? "dark" : "light";
})();
