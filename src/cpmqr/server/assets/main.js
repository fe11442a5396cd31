// Puts the page together. No framework: each part renders itself, and again when the language changes.

import * as api from "./api.js";
import { byId } from "./dom.js";
import { currentLanguage, fillLabelsWith, onLanguage, remember, remembered, setLanguage, t } from "./i18n.js";
import { startInspector } from "./inspector.js";
import { startTill } from "./till.js";
import { startTriggers } from "./triggers.js";
import { startWallet } from "./wallet.js";

const THEME = "cpmqr.theme";

function showChoice(group, value) {
  for (const button of group.querySelectorAll("button"))
    button.setAttribute("aria-pressed", String(button.dataset.value === value));
}

function startThemes() {
  const group = byId("theme");
  const apply = (value) => {
    document.documentElement.dataset.theme = value;
    showChoice(group, value);
  };
  apply(remembered(THEME) ?? "auto");
  group.addEventListener("click", (event) => {
    const value = event.target.dataset.value;
    if (!value) return;
    remember(THEME, value);
    apply(value);
  });
}

function startLanguages() {
  const group = byId("language");
  group.addEventListener("click", (event) => {
    if (event.target.dataset.value) setLanguage(event.target.dataset.value);
  });
  onLanguage(() => showChoice(group, currentLanguage()));
  showChoice(group, currentLanguage());
}

async function start() {
  startThemes();
  startLanguages();
  fillLabelsWith({});
  let setup;
  try {
    setup = await api.setup();
  } catch {
    byId("till-notice").textContent = t("unreachable");
    return;
  }
  fillLabelsWith({ count: setup.requests_max });
  const inspector = startInspector();
  const till = startTill(() => inspector.refresh());
  const wallet = startWallet(setup, {
    handOver: (payload) => till.read(payload),
    onSent: () => inspector.refresh(),
  });
  till.onUsed = (payload) => wallet.markUsed(payload);
  startTriggers(setup, () => inspector.refresh());
}

start();
