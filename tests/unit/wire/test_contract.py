"""Each member's rule at its limits, the order of the codes, both spellings, and what an error may repeat."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cpmqr.errors import Refusal
from cpmqr.wire import contract
from cpmqr.wire.envelope import Envelope

GOOD = {
    "REQUESTOR_ID": "42000000066",
    "MSG_CD": "Q200",
    "MSG_VER": "01",
    "CRYPTO_TYPE": "01",
    "CRYPTO_KEY_VER": "00",
    "TRNS_TRCE_NO": "NPAY202009XX123XXXX35",
    "ENC_DATA": "QUJD",
}
SPELLINGS = {"MSG_CD": "MSG_ID", "CRYPTO_TYPE": "CRTPYO_TYPE", "TRNS_TRCE_NO": "TRNS_TRACE_NO"}
OPTIONAL = ("HASH_CRC", "RSLT_TYPE", "REG_ATON", "REQ_KEY_DV", "CPMQR_DATA_CLSS", "DNF_DV", "APP_DV")


def read(
    members: dict[str, str], not_strings: dict[str, str] | None = None, dnf_values: tuple[str, ...] = ("2",)
) -> contract.Message:
    envelope = Envelope("cpmqrdatareq", "1.0", members, not_strings or {})
    return contract.read_message(envelope, dnf_values)


def refused(members: dict[str, str], not_strings: dict[str, str] | None = None) -> Refusal:
    with pytest.raises(Refusal) as caught:
        read(members, not_strings)
    return caught.value


def test_a_message_with_the_required_members_alone_is_good() -> None:
    message = read(GOOD)
    assert message.members == GOOD
    assert (message.requestor_id, message.crypto_type, message.crypto_key_ver) == ("42000000066", "01", "00")
    assert (message.trace_no, message.enc_data) == (GOOD["TRNS_TRCE_NO"], "QUJD")
    assert (message.hash_crc, message.dnf_dv, message.app_dv) == (None, "", "")


@pytest.mark.parametrize("name", GOOD)
def test_a_required_member_that_is_missing_is_1002_and_named(name: str) -> None:
    refusal = refused({key: value for key, value in GOOD.items() if key != name})
    assert refusal.rslt_cd == "1002"
    assert name in refusal.cause
    assert SPELLINGS.get(name, "") in refusal.cause


GOOD_VALUES = {
    "REQUESTOR_ID": ["00000000000", "99999999999"],
    "CRYPTO_TYPE": ["00", "zZ", "--", "가나"],
    "CRYPTO_KEY_VER": ["00", "A1", "  "],
    "TRNS_TRCE_NO": [
        "1",
        "x" * 40,
        "가" * 13 + "x",
        "가" * 10 + "x" * 10,
        " ",
        "a b",
        '"\\/',
        "😀" * 10,
        "é" * 20,
    ],
    "ENC_DATA": ["=", "A" * 4096, "not Base64: that is 3003's matter", "가"],
    "HASH_CRC": ["", "anything: 3004's matter", "x" * 5000],
    "RSLT_TYPE": ["JSON"],
    "REG_ATON": ["20200623090000", "20240229235959", "00010101000000", "99991231235959"],
    "REQ_KEY_DV": ["1", ""],
    "CPMQR_DATA_CLSS": ["1", ""],
    "DNF_DV": ["1", "", "2"],
    "APP_DV": ["", "x" * 20, "가나다라마바" + "xx", "iOS 26.1"],
}
WRONG_VALUES = {
    "REQUESTOR_ID": ["", "4200000006", "420000000666", "4200000006x", " 2000000066", "４2000000066", "²2000000066"],
    "CRYPTO_TYPE": ["", "0", "000", "0\n", "\x00\x00"],
    "CRYPTO_KEY_VER": ["", "0", "000", "0\x7f"],
    "TRNS_TRCE_NO": ["", "x" * 41, "가" * 14, "é" * 20 + "x", "a|b", "|", "a\nb", "\x00", "x\x7f", "가\x85", "가\x9f"],
    "ENC_DATA": ["", "A" * 4097],
    "RSLT_TYPE": ["", "XML", "json"],
    "REG_ATON": ["", "20200623", "20210229000000", "20201301000000", "20200623240000", "20200623006000",
                 "20200623000060", "00000101000000", "2020062309000０", "+2200623090000", "202006230900000"],
    "REQ_KEY_DV": ["0", "2", "01", " "],
    "CPMQR_DATA_CLSS": ["0", "11"],
    "DNF_DV": ["0", "3", "01", "1 ", "2\n", "x" * 21],
    "APP_DV": ["x" * 21, "가" * 7, "\n", "a\x00", "\u202e"],
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, values in GOOD_VALUES.items() for value in values]
)
def test_a_value_inside_its_rule_is_taken(name: str, value: str) -> None:
    assert read({**GOOD, name: value}).members[name] == value


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, values in WRONG_VALUES.items() for value in values]
)
def test_a_value_outside_its_rule_is_1003_and_only_its_name_is_repeated(name: str, value: str) -> None:
    refusal = refused({**GOOD, name: value})
    assert refusal.rslt_cd == "1003"
    assert refusal.cause.startswith(name)
    assert len(value) < 3 or value not in refusal.cause


@pytest.mark.parametrize("value", ["", "Q201", "q200", "Q200 ", "x" * 100])
def test_another_message_code_is_1004_under_either_spelling(value: str) -> None:
    without = {name: sent for name, sent in GOOD.items() if name != "MSG_CD"}
    assert refused({**without, "MSG_CD": value}).rslt_cd == "1004"
    assert refused({**without, "MSG_ID": value}).rslt_cd == "1004"


@pytest.mark.parametrize("value", ["", "1", "02", "01 "])
def test_another_message_version_is_1005(value: str) -> None:
    assert refused({**GOOD, "MSG_VER": value}).rslt_cd == "1005"


@pytest.mark.parametrize(("name", "other"), SPELLINGS.items())
def test_both_spellings_are_read_alone_and_together_where_they_are_equal(name: str, other: str) -> None:
    renamed = {other if key == name else key: value for key, value in GOOD.items()}
    assert read(renamed).members == GOOD
    assert read({**GOOD, other: GOOD[name]}).members == GOOD


@pytest.mark.parametrize(("name", "other"), SPELLINGS.items())
def test_both_spellings_with_different_values_are_1003_whichever_comes_first(name: str, other: str) -> None:
    different = {"MSG_CD": "Q200", "CRYPTO_TYPE": "02", "TRNS_TRCE_NO": "other"}[name]
    if different == GOOD[name]:
        different = "Q201"
    for members in ({**GOOD, other: different}, {other: different, **GOOD}):
        refusal = refused(members)
        assert refusal.rslt_cd == "1003"
        assert name in refusal.cause
        assert other in refusal.cause


def test_two_spellings_of_which_one_is_no_string_are_1003() -> None:
    assert refused(GOOD, {"MSG_ID": "a number"}).rslt_cd == "1003"


WRONGS = {
    "1002": lambda members: members.pop("ENC_DATA"),
    "1003": lambda members: members.update(RSLT_TYPE="XML"),
    "1004": lambda members: members.update(MSG_CD="Q999"),
    "1005": lambda members: members.update(MSG_VER="99"),
}


@pytest.mark.parametrize("first", WRONGS)
@pytest.mark.parametrize("second", WRONGS)
def test_of_two_faults_the_smaller_code_is_answered(first: str, second: str) -> None:
    members = dict(GOOD)
    WRONGS[first](members)
    WRONGS[second](members) if first != second else None
    assert refused(members).rslt_cd == min(first, second)


def test_a_missing_member_comes_before_spellings_that_differ_and_before_what_is_no_string() -> None:
    without = {name: value for name, value in GOOD.items() if name != "TRNS_TRCE_NO"}
    assert refused({**without, "MSG_ID": "other"}).rslt_cd == "1002"
    assert refused(without, {"APP_DV": "a number"}).rslt_cd == "1002"


def test_of_several_wrong_members_the_first_of_the_table_is_named() -> None:
    refusal = refused({**GOOD, "APP_DV": "\n", "REQUESTOR_ID": "x", "REG_ATON": "x"})
    assert "REQUESTOR_ID" in refusal.cause


@pytest.mark.parametrize("name", [*GOOD, *SPELLINGS.values(), *OPTIONAL])
def test_a_known_member_that_is_no_string_is_1003_with_a_word_about_quotes(name: str) -> None:
    canonical = {other: key for key, other in SPELLINGS.items()}.get(name, name)
    refusal = refused({key: value for key, value in GOOD.items() if key != canonical}, {name: "a number"})
    assert refusal.rslt_cd == "1003"
    assert canonical in refusal.cause
    assert "string in quotes, not a number" in refusal.cause


def test_unknown_members_are_ignored_whatever_they_hold() -> None:
    message = read({**GOOD, "NEW": "x", "requestor_id": "y", "": "z"}, {"META": "an object", "N": "null"})
    assert message.members == GOOD


def test_a_dnf_value_that_is_not_configured_is_refused_with_those_that_are() -> None:
    with pytest.raises(Refusal) as caught:
        read({**GOOD, "DNF_DV": "2"}, dnf_values=("7", "3"))
    assert (caught.value.rslt_cd, caught.value.cause) == ("1003", "DNF_DV must be one of 1, 3, 7")


@given(
    st.dictionaries(
        st.sampled_from([*GOOD, *SPELLINGS.values(), *OPTIONAL, "NEW"]),
        st.one_of(st.sampled_from([*GOOD.values(), "", "JSON", "x"]), st.text(max_size=60)),
    ),
    st.dictionaries(st.sampled_from([*GOOD, *OPTIONAL, "MSG_ID", "NEW"]), st.just("a number"), max_size=2),
)
def test_whatever_is_sent_is_a_message_of_good_members_or_one_of_four_codes(
    members: dict[str, str], not_strings: dict[str, str]
) -> None:
    members = {name: value for name, value in members.items() if name not in not_strings}
    try:
        message = read(members, not_strings)
    except Refusal:
        refusal = refused(members, not_strings)
        assert refusal.rslt_cd in ("1002", "1003", "1004", "1005")
        assert refusal.cause
        return
    assert GOOD.keys() <= message.members.keys() <= {*GOOD, *OPTIONAL}


@pytest.mark.parametrize("text", ["19700101090000", "20200229000000", "99991231235959", "00010101090000"])
def test_a_korean_time_reads_as_the_second_that_it_names(text: str) -> None:
    moment = contract.korean_time(text)
    assert moment is not None
    assert f"{moment:%Y%m%d%H%M%S}".zfill(14) == text
    assert contract.korean_time_s(text) == int(moment.timestamp())
    assert contract.korean_time_s("19700101090000") == 0


@given(st.text(max_size=20))
def test_what_is_no_korean_time_gives_none(text: str) -> None:
    if not (len(text) == 14 and text.isascii() and text.isdigit()):
        assert contract.korean_time(text) is None
        assert contract.korean_time_s(text) is None


def test_names_of_the_senders_own_do_not_fill_the_cache_of_shapes() -> None:
    before = contract._shape.cache_info().currsize
    assert read({**GOOD, "5350206900000066" * 1_000: "x"}).members == GOOD
    assert contract._shape.cache_info().currsize == before


def test_long_texts_do_not_fill_the_cache_of_times() -> None:
    before = contract._seconds.cache_info().currsize
    assert contract.korean_time_s("2" * 60_000) is None
    assert contract._seconds.cache_info().currsize == before


def test_an_error_repeats_ids_and_versions_under_both_names() -> None:
    assert contract.echo({**GOOD, "APP_DV": "x"}) == {
        "REQUESTOR_ID": "42000000066",
        "MSG_CD": "Q200",
        "MSG_ID": "Q200",
        "MSG_VER": "01",
    }
    assert contract.echo({"MSG_ID": "Q1"}) == {"MSG_CD": "Q1", "MSG_ID": "Q1"}
    assert contract.echo({}) == {}


@pytest.mark.parametrize(
    "value", ["5350206900000066", "4000000000006", "hQVDUFYwMWFaTwfU", "<script>", "", "a\nb", "가", "a b"]
)
def test_an_error_repeats_nothing_that_could_be_a_pan_or_a_ciphertext(value: str) -> None:
    assert (
        contract.echo(dict.fromkeys(("REQUESTOR_ID", "MSG_CD", "MSG_ID", "MSG_VER", "ENC_DATA"), value)) == {}
    )


@given(st.dictionaries(st.sampled_from([*GOOD, *SPELLINGS.values(), *OPTIONAL]), st.text(max_size=30)))
def test_an_error_repeats_at_most_eleven_letters_or_digits_of_four_members(members: dict[str, str]) -> None:
    for name, value in contract.echo(members).items():
        assert name in ("REQUESTOR_ID", "MSG_CD", "MSG_ID", "MSG_VER")
        assert 0 < len(value) <= 11
        assert value.isascii()
        assert value.isalnum()


def test_a_message_prints_without_what_it_carries() -> None:
    assert repr(read({**GOOD, "APP_DV": "secret"})) == "<message of 42000000066, CRYPTO_TYPE 01>"
