// A link with "#token=…" logs in by itself; the token leaves the address bar before anything is sent.
"use strict";
const token = new URLSearchParams(location.hash.slice(1)).get("token");
history.replaceState(null, "", "/");
if (token) {
  document.querySelector("#token").value = token;
  document.querySelector("form").requestSubmit();
}
