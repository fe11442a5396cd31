// The wallet: asks for a QR, shows it, and asks again when it has run out.

import * as api from "./api.js";
import { byId, h } from "./dom.js";
import { onLanguage, t } from "./i18n.js";
import { answerText, codePill, copyButton, curlText, exchangeTabs, requestText, showIn } from "./steps.js";

const TICK_MS = 250;

export function startWallet(setup, { handOver, onSent }) {
  const token = byId("token");
  const cryptoType = byId("crypto-type");
  let asked = 0; // an answer that comes after a later question is dropped
  let shown = null; // what the phone shows
  let deadline = 0; // when the QR runs out; 0 while there is none

  function fillChoices() {
    const [chosenToken, chosenType] = [token.value || "0", cryptoType.value || "01"];
    token.replaceChildren(...setup.tokens.map((item, index) =>
      h("option", { value: index }, [spaced(item.pan), t(`token_${item.state}`), otherProfile(item)].filter(Boolean).join(" · "))));
    cryptoType.replaceChildren(...setup.crypto_types.map((item) =>
      h("option", { value: item.code }, `${item.code} · ${item.scheme}`)));
    [token.value, cryptoType.value] = [chosenToken, chosenType];
  }

  const otherProfile = (item) => (item.profile === setup.tokens[0].profile ? "" : item.profile);

  async function issue() {
    const question = ++asked;
    deadline = 0;
    if (!shown) showIn("phone", h("p", { class: "quiet" }, t("asking")));
    try {
      const pan = setup.tokens[Number(token.value)].pan;
      const { trace_no: traceNo, request } = await api.orderQr(Number(token.value), cryptoType.value);
      const answer = await api.send(request);
      onSent();
      const { code, text, response } = api.verdict(answer);
      const payload = code === "0000" ? response.CPMQR_DATA : "";
      const picture = payload ? URL.createObjectURL(await api.drawQr(payload)) : "";
      const detail = await api.requestOfTrace(traceNo).catch(() => null);
      if (question !== asked) return;
      if (shown?.picture) URL.revokeObjectURL(shown.picture);
      shown = { pan, request, answer, code, text, payload, picture, detail, used: false };
      deadline = payload ? Date.now() + setup.qr_ttl_s * 1000 : 0;
      render();
    } catch {
      if (question !== asked) return;
      shown = null;
      showIn("phone", h("p", { class: "notice bad" }, t("unreachable")));
    }
    tick();
  }

  function render() {
    if (!shown) return;
    showIn("phone", shown.payload ? goodScreen() : refusedScreen());
    byId("hand-over").disabled = !shown.payload;
    showIn("wallet-wire",
      h("h3", {}, t("on_the_wire")),
      exchangeTabs(shown.detail, requestText(shown.request), answerText(shown.answer.status, shown.answer.text),
        [copyButton("copy_curl", () => curlText(shown.request))]));
  }

  function goodScreen() {
    return h("div", { class: shown.used ? "screen used" : "screen" },
      h("img", {
        class: "qr",
        src: shown.picture,
        alt: t("qr_alt", { pan: shown.pan, count: shown.payload.length }),
        width: "264",
        height: "264",
      }),
      shown.used ? h("p", { class: "stamp" }, h("span", {}, "✓ "), t("paid")) : null,
      h("p", { class: "pan" }, spaced(shown.pan), " ", codePill(shown.code)));
  }

  const refusedScreen = () =>
    h("div", { class: "screen refused" }, codePill(shown.code), h("p", {}, shown.text));

  function tick() {
    byId("countdown").hidden = !deadline;
    if (!deadline) return;
    const left = Math.max(0, deadline - Date.now());
    const seconds = Math.ceil(left / 1000);
    byId("timer").textContent = `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
    byId("bar").style.transform = `scaleX(${left / (setup.qr_ttl_s * 1000)})`;
    // Nobody looks at a hidden page: it asks again when it is looked at.
    if (left === 0 && !document.hidden) issue();
  }

  fillChoices();
  token.addEventListener("change", issue);
  cryptoType.addEventListener("change", issue);
  byId("renew").addEventListener("click", issue);
  byId("hand-over").addEventListener("click", () => handOver(shown.payload));
  onLanguage(() => { fillChoices(); render(); });
  setInterval(tick, TICK_MS);
  issue();

  return {
    markUsed(payload) {
      if (shown?.payload !== payload) return;
      shown.used = true;
      render();
    },
  };
}

const spaced = (pan) => pan.replace(/(.{4})(?=.)/g, "$1 ");
