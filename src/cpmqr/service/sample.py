"""The page's own sample request, recognised (contract §3): the first thing that a newcomer pastes."""

from __future__ import annotations

from typing import Final

# The sample's ENC_DATA is a CPM payload, not a ciphertext, so no gateway can open it.
PAGE_SAMPLE_ENC_DATA: Final = (
    "hQVDUFYwMWFaTwfUEAAAAUAQVxNTUCBpAAAAZtIAdgEAAAAAAAmfXzQBAmM2nyYImERHcznr1n2fJwGAnxAU"
    "BQmgAAgAAAAAAAAAICAGERdRIQGfNgIAi4ICAACfNwRm4DtF"
)

PAGE_SAMPLE_HINT: Final = (
    "이것은 API 문서의 예제 그대로입니다. 예제의 ENC_DATA는 암호문이 아니라 응답의 CPMQR_DATA와 같은 자리표시자이므로 "
    "어떤 키로도 열 수 없습니다. 동작하는 요청은 `cpmqr request`로 보내고, "
    "`cpmqr request --curl`로 그 내용을 볼 수 있습니다. "
    "(This is the page's own sample: its ENC_DATA is a placeholder, the CPM payload itself. "
    "`cpmqr request` sends one that works; `cpmqr request --curl` prints it.)"
)


def is_page_sample(enc_data: str) -> bool:
    """Tell whether a request carries the sample's placeholder."""
    return enc_data == PAGE_SAMPLE_ENC_DATA
