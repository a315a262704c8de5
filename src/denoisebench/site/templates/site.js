"use strict";
// The leaderboard's filters: without this script every table is there.
(() => {
  const form = document.getElementById("filters");
  const shown = document.getElementById("shown");
  if (!form) return;
  form.hidden = false;
  const apply = () => {
    const wanted = Object.fromEntries(new FormData(form));
    let tables = 0;
    for (const section of document.querySelectorAll("section.table")) {
      const fits = ["dataset", "noise", "protocol"].every((key) => !wanted[key] || section.dataset[key] === wanted[key]);
      let lines = 0;
      for (const row of section.querySelectorAll("tbody tr")) {
        const hidden = (wanted.family && row.dataset.family !== wanted.family)
          || (wanted.tag && row.dataset.tags.split("|").includes(wanted.tag))
          || (wanted.method && !row.dataset.method.toLowerCase().includes(wanted.method.toLowerCase()));
        row.hidden = Boolean(hidden);
        lines += hidden ? 0 : 1;
      }
      section.hidden = !fits || !lines;
      tables += section.hidden ? 0 : 1;
    }
    shown.textContent = `${tables} tables shown`;
  };
  form.addEventListener("input", apply);
  form.addEventListener("submit", (event) => event.preventDefault());
  apply();
})();
