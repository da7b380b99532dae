"use strict";
(() => {
  const byId = (id) => document.getElementById(id);

  // Theme: as the system, light, dark. Pages opened as files may have no storage.
  const names = { "": "as the system", light: "light", dark: "dark" };
  const root = document.documentElement;
  const button = byId("theme");
  const remembered = (value) => {
    try {
      if (value === undefined) return localStorage.getItem("stock_assets_theme") || "";
      localStorage.setItem("stock_assets_theme", value);
    } catch (error) { /* remembered for this page alone */ }
    return "";
  };
  const wear = (theme) => {
    if (theme) root.dataset.theme = theme; else delete root.dataset.theme;
    button.querySelector("span").textContent = names[theme];
  };
  const first = remembered();
  wear(first in names ? first : "");
  button.hidden = false;
  button.addEventListener("click", () => {
    const order = Object.keys(names);
    const next = order[(order.indexOf(root.dataset.theme || "") + 1) % order.length];
    wear(next);
    remembered(next);
  });

  // Sorting: a button in each heading that has an order; once more turns it round.
  const key = (row, column, kind) => {
    const cell = row.cells[column];
    if (kind === "text") return cell.textContent.trim();
    return cell.dataset.value === "" ? null : Number(cell.dataset.value);
  };
  document.querySelectorAll("table.sortable").forEach((table) => {
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => {
      const kind = head.dataset.sort;
      if (!kind) return;
      const sorter = document.createElement("button");
      sorter.type = "button";
      sorter.append(...head.childNodes);
      head.append(sorter);
      sorter.addEventListener("click", () => {
        const down = head.getAttribute("aria-sort") === "ascending";
        heads.forEach((other) => other.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", down ? "descending" : "ascending");
        const rows = [...table.tBodies[0].rows].map((row) => [key(row, column, kind), row]);
        const side = down ? -1 : 1;
        rows.sort(([a], [b]) => {
          // What is not known comes last, whichever way round.
          if (a === null || b === null) return (a === null) - (b === null);
          return side * (kind === "text" ? a.localeCompare(b) : a - b);
        });
        table.tBodies[0].append(...rows.map(([, row]) => row));
      });
    });
  });

  // Searching: rows and fans alike. Fans that were closed open where few are left.
  const box = byId("search");
  const searched = [...document.querySelectorAll("[data-ticker]")];
  const fans = searched.filter((one) => one.tagName === "DETAILS");
  const opened = new Map(fans.map((fan) => [fan, fan.open]));
  box.closest(".search").hidden = false;
  box.addEventListener("input", () => {
    const wanted = box.value.trim().toUpperCase();
    let rows = 0;
    searched.forEach((one) => {
      const shown = one.dataset.ticker.toUpperCase().includes(wanted);
      one.hidden = !shown;
      if (shown && one.tagName === "TR") rows += 1;
    });
    const left = fans.filter((fan) => !fan.hidden);
    left.forEach((fan) => { fan.open = wanted && left.length <= 12 ? true : opened.get(fan); });
    byId("found").textContent = wanted ? `${rows} found` : "";
  });
})();
