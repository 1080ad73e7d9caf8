// Light or dark, before anything is painted: what was chosen in this browser, or else what the system says.
// No module, since modules wait until the page is there.

const CHOSEN = localStorage.getItem("theme");
if (CHOSEN === "light" || CHOSEN === "dark") document.documentElement.dataset.theme = CHOSEN;
