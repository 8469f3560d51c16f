// Sends the form that only passes a browser on. Without this script there is its button.
"use strict";
document.getElementById("submit-at-once").submit();
