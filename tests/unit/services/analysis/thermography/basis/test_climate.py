import pytest
import zipcodes

from services.analysis.thermography.basis.climate import climate_of


@pytest.mark.parametrize(
    ("zip_code", "state"),
    [("15213", "PA"), ("60601-1234", "IL"), (" 00501 ", "NY"), ("96701", "HI"), ("02108", "MA"), ("021081234", "MA")],
)
def test_a_zip_code_names_its_state(zip_code: str, state: str) -> None:
    assert climate_of(zip_code).state == state


def test_the_state_of_a_zip_code_is_said() -> None:
    assert climate_of("60601-1234").origin == "Climate and energy prices are those of IL."


@pytest.mark.parametrize(
    "zip_code",
    [
        *("02134 1234", "02134-1234", "02134–1234", "02134 - 1234", " 02134", "02134\u00a0", "021 34", "０２１３４"),
        *("021341234", "MA 02134", "ma02134", "MA, 02134", "US-02134", "USA 02134", "ZIP: 02134"),
    ],
)
def test_a_zip_code_is_read_however_it_is_written(zip_code: str) -> None:
    assert climate_of(zip_code).state == "MA"
    assert climate_of(zip_code).origin == "Climate and energy prices are those of MA."


@pytest.mark.parametrize("zip_code", ["2134", "2134-1234", "2134 1234", "21341234", "O2134", "o2134-1234"])
def test_a_zip_code_that_lost_its_zero_is_mended_and_the_reading_is_said(zip_code: str) -> None:
    climate = climate_of(zip_code)
    assert climate.state == "MA"
    assert climate.origin == "Climate and energy prices are those of MA, as the ZIP code was taken for 02134."


@pytest.mark.parametrize(
    ("zip_code", "why"),
    [
        *((nothing, "The profile has no ZIP code") for nothing in (None, "", " ")),
        *((one, "The postcode is Canadian") for one in ("K1A 0B1", "k1a0b1", "K1A-0B1")),
        *((one, "The postcode is British") for one in ("SW1A 1AA", "m1 1ae", "CR2 6XH", "DN55 1PT", "EC1A1BB")),
        *((one, "The ZIP code belongs to no state") for one in ("00601", "00601-1234", "96910", "AE 09012")),
        *((one, "The ZIP code belongs to no state") for one in ("PA 02134", "42900")),
        *(
            (one, "The ZIP code cannot be read")
            for one in ("152", "0213", "abcde", "15213x", "٠٢١٠٨", "99999-", "1234567")
        ),
    ],
)
def test_what_names_no_state_gets_the_national_average_and_the_reason_is_said(zip_code: str | None, why: str) -> None:
    climate = climate_of(zip_code)
    assert climate.state is None
    assert climate.heating_degree_days == pytest.approx(4339 / 1.8)
    assert climate.origin == f"{why}: the climate and prices are the US average."


def test_the_figures_of_a_state_are_in_kelvin_days_and_dollars_per_kwh() -> None:
    illinois = climate_of("60601")
    assert illinois.heating_degree_days == pytest.approx(3530)
    assert illinois.electricity_usd_per_kwh == pytest.approx(0.1571)
    assert illinois.gas_usd_per_kwh == pytest.approx(1.112 / 29.307)


def test_prefixes_agree_with_the_list_of_all_zip_codes() -> None:
    known = [entry for entry in zipcodes.list_all() if climate_of(entry["zip_code"]).state is not None]
    wrong = [entry["zip_code"] for entry in known if climate_of(entry["zip_code"]).state != entry["state"]]
    assert len(known) > 40_000
    # Eight places get their post from across a state's border.
    assert len(wrong) <= 8
