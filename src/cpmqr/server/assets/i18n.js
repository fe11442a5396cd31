// Labels in two languages. What the gateway says stays as the gateway says it.

export const LABELS = {
  en: {
    skip: "Skip to the wallet",
    sandbox: "sandbox",
    sections: "Sections",
    play: "Play",
    inspector: "Inspector",
    codes: "Every code",
    language: "Language",
    theme: "Colours",
    light: "Light",
    auto: "Auto",
    dark: "Dark",
    lead: "Play both sides of a payment: the wallet asks this gateway for a QR, the till reads it and asks whether it is good.",
    wallet: "Wallet",
    wallet_hint: "Asks the gateway for a QR, as an app on a customer's phone does.",
    token: "Token",
    crypto_type: "Encryption (CRYPTO_TYPE)",
    renews_in: "renews itself in",
    new_qr: "New QR",
    hand_over: "Hand it to the till",
    till: "Till",
    till_hint: "Reads a QR, explains it byte by byte, and asks the authoriser's question.",
    scan: "Scan with the camera",
    stop: "Stop the camera",
    picture: "Choose a picture",
    payload: "Payload",
    paste_hint: "Paste Base64 or hex, or drop a picture of a QR here",
    read: "Read it",
    inspector_hint: "The last {count} requests to this sandbox, from any client: curl, a phone, a test suite. Click one to see each step of the gateway.",
    codes_hint: "Every code of the catalogue, and a request that provokes it. Each button really sends it.",
    try_all: "Try them all",
    foot: "Nothing leaves this machine: the page talks to this gateway alone.",
    licences: "Licences of what the page ships",
    steps: "Steps",
    request: "Request",
    answer: "Answer",
    on_the_wire: "What went over the wire",
    asking: "Asking…",
    qr_alt: "QR of {pan}, {count} characters",
    paid: "Paid",
    unreachable: "The gateway does not answer. Is it still running?",
    copy_curl: "Copy as curl",
    copied: "Copied",
    camera_denied: "The camera can't be used: {why}",
    looking: "Hold a QR in front of the camera…",
    no_qr_in_picture: "No QR was found in this picture.",
    nothing_read: "Nothing read yet. Take the wallet's QR, or bring one of your own.",
    read_ok: "A valid payload: {bytes} bytes, {characters} characters in the QR.",
    read_bad: "This payload breaks {count} rule(s).",
    bytes: "Bytes",
    meaning: "Meaning",
    show_pan: "Show the PAN",
    hover_hint: "Point at a byte, or at a line below it. Arrow keys work too.",
    authorise: "Authorise",
    authorising: "Asking…",
    approved: "Approved",
    refused: "Refused",
    attempt: "Attempt {number}",
    tag_byte: "tag",
    length_byte: "length",
    value_byte: "value",
    byte_label: "byte {offset}: {value}, {part} of {tag} {name}",
    empty_list: "No request yet. Ask for a QR above, or send one from your own code.",
    time: "Time",
    from: "From",
    call: "Call",
    code: "Code",
    cause: "Cause",
    ms: "ms",
    not_kept: "This request is no longer kept.",
    try: "Try",
    http: "HTTP {status}",
    retry: "retry: {how}",
    "retry_with a new time": "with a new time",
    "retry_new number": "with a new trace number",
    "retry_same number": "with the same trace number",
    "retry_issue again": "issue again",
    "retry_Retry-After": "after Retry-After",
    done: "{good} of {count} answered as expected",
    token_active: "active",
    token_suspended: "suspended",
    token_deleted: "deleted",
    token_expired: "expired",
    token_exhausted: "counter used up",
    family_0: "Success",
    family_1: "The message",
    family_2: "Who asks",
    family_3: "Keys and seals",
    family_4: "The token",
    family_5: "The QR",
    family_8: "Limits",
    family_9: "The service",
  },
  ko: {
    skip: "지갑으로 건너뛰기",
    sandbox: "샌드박스",
    sections: "구역",
    play: "체험",
    inspector: "인스펙터",
    codes: "모든 응답 코드",
    language: "언어",
    theme: "색상",
    light: "밝게",
    auto: "자동",
    dark: "어둡게",
    lead: "결제의 양쪽을 직접 해 봅니다. 지갑은 이 게이트웨이에 QR을 요청하고, 단말은 QR을 읽어 승인을 묻습니다.",
    wallet: "지갑",
    wallet_hint: "고객 휴대폰의 앱처럼 게이트웨이에 QR을 요청합니다.",
    token: "토큰",
    crypto_type: "암호화 (CRYPTO_TYPE)",
    renews_in: "자동 갱신까지",
    new_qr: "새 QR",
    hand_over: "단말에 보여 주기",
    till: "가맹점 단말",
    till_hint: "QR을 읽어 바이트 단위로 설명하고 승인을 요청합니다.",
    scan: "카메라로 스캔",
    stop: "카메라 끄기",
    picture: "사진 선택",
    payload: "페이로드",
    paste_hint: "Base64 또는 hex를 붙여 넣거나 QR 사진을 끌어다 놓으세요",
    read: "읽기",
    inspector_hint: "curl, 휴대폰, 테스트 등 어디서 왔든 이 샌드박스에 온 최근 요청 {count}건입니다. 누르면 게이트웨이의 단계별 설명이 보입니다.",
    codes_hint: "모든 응답 코드와 그 코드를 받는 방법입니다. 버튼을 누르면 실제로 요청을 보냅니다.",
    try_all: "모두 시도",
    foot: "어떤 데이터도 이 컴퓨터 밖으로 나가지 않습니다. 이 페이지는 이 게이트웨이와만 통신합니다.",
    licences: "포함된 소프트웨어의 라이선스",
    steps: "단계",
    request: "요청",
    answer: "응답",
    on_the_wire: "주고받은 전문",
    asking: "요청 중…",
    qr_alt: "{pan}의 QR, {count}자",
    paid: "결제 완료",
    unreachable: "게이트웨이가 응답하지 않습니다. 실행 중인지 확인하세요.",
    copy_curl: "curl로 복사",
    copied: "복사됨",
    camera_denied: "카메라를 사용할 수 없습니다: {why}",
    looking: "QR을 카메라에 비춰 주세요…",
    no_qr_in_picture: "사진에서 QR을 찾지 못했습니다.",
    nothing_read: "아직 읽은 QR이 없습니다. 지갑의 QR을 받거나 직접 가져와 보세요.",
    read_ok: "올바른 페이로드입니다: {bytes}바이트, QR 안의 글자 {characters}자.",
    read_bad: "이 페이로드는 규칙 {count}개를 어깁니다.",
    bytes: "바이트",
    meaning: "의미",
    show_pan: "PAN 보기",
    hover_hint: "바이트나 아래 줄을 가리켜 보세요. 화살표 키도 됩니다.",
    authorise: "승인 요청",
    authorising: "요청 중…",
    approved: "승인",
    refused: "거절",
    attempt: "{number}번째 시도",
    tag_byte: "태그",
    length_byte: "길이",
    value_byte: "값",
    byte_label: "바이트 {offset}: {value}, {tag} {name}의 {part}",
    empty_list: "아직 요청이 없습니다. 위에서 QR을 요청하거나 직접 만든 코드로 보내 보세요.",
    time: "시각",
    from: "출처",
    call: "호출",
    code: "코드",
    cause: "원인",
    ms: "ms",
    not_kept: "이 요청은 더 이상 보관되어 있지 않습니다.",
    try: "시도",
    http: "HTTP {status}",
    retry: "재시도: {how}",
    "retry_with a new time": "새 요청시간으로",
    "retry_new number": "새 거래추적번호로",
    "retry_same number": "같은 거래추적번호로",
    "retry_issue again": "새로 발급",
    "retry_Retry-After": "Retry-After 이후",
    done: "{count}개 중 {good}개가 예상대로 응답",
    token_active: "정상",
    token_suspended: "일시정지",
    token_deleted: "해지",
    token_expired: "유효기간 만료",
    token_exhausted: "거래카운터 소진",
    family_0: "성공",
    family_1: "전문",
    family_2: "요청자",
    family_3: "키와 암호화",
    family_4: "토큰",
    family_5: "QR",
    family_8: "한도",
    family_9: "서비스",
  },
};

const STORED = "cpmqr.language";
const listeners = [];
let values = {};
const chosenBefore = remembered(STORED);
const browsers = navigator.language.toLowerCase().startsWith("ko") ? "ko" : "en";
let language = chosenBefore in LABELS ? chosenBefore : browsers;

export const currentLanguage = () => language;
export const isKorean = () => language === "ko";
export const onLanguage = (listener) => listeners.push(listener);

// A label in the current language, with {names} filled in.
export function t(key, filled = {}) {
  const text = LABELS[language][key] ?? key;
  return text.replace(/\{(\w+)\}/g, (whole, name) => filled[name] ?? values[name] ?? whole);
}

// What a label in the page's own text may name, such as {count}.
export function fillLabelsWith(more) {
  values = { ...values, ...more };
  labelPage();
}

export function setLanguage(chosen) {
  language = chosen;
  remember(STORED, chosen);
  labelPage();
  for (const listener of listeners) listener();
}

export function labelPage() {
  document.documentElement.lang = language;
  for (const element of document.querySelectorAll("[data-t]")) element.textContent = t(element.dataset.t);
  for (const element of document.querySelectorAll("[data-t-label]"))
    element.setAttribute("aria-label", t(element.dataset.tLabel));
  for (const element of document.querySelectorAll("[data-t-placeholder]"))
    element.placeholder = t(element.dataset.tPlaceholder);
}

// The browser may refuse to keep anything: then the choice lasts as long as the page.
export function remembered(name) {
  try {
    return localStorage.getItem(name);
  } catch {
    return null;
  }
}

export function remember(name, value) {
  try {
    localStorage.setItem(name, value);
  } catch {
    // nothing to do: see above
  }
}
