// Light or dark, before anything is drawn: a plain script, so that a chosen theme never flashes.
{
  const KEY = "soundwright-studio:theme", THEMES = ["system", "light", "dark"];
  const root = document.documentElement;
  let theme = "system";
  try { theme = localStorage.getItem(KEY) ?? "system"; } catch { /* Without a store the system decides. */ }
  if (!THEMES.includes(theme)) theme = "system";

  const apply = () => {
    if (theme === "system") delete root.dataset.theme;
    else root.dataset.theme = theme;
    const button = document.getElementById("theme");
    if (button) button.lastElementChild.textContent = theme;
    dispatchEvent(new Event("themechange"));
  };

  apply();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", apply);
  addEventListener("DOMContentLoaded", () => {
    apply();
    document.getElementById("theme").addEventListener("click", () => {
      theme = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length];
      try { localStorage.setItem(KEY, theme); } catch { /* It lasts as long as the page. */ }
      apply();
    });
  });
}
