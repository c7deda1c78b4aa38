import pytest
import zipcodes

from services.analysis.thermography.basis.climate import climate_of


@pytest.mark.parametrize(
    ("zip_code", "state"),
    [("15213", "PA"), ("60601-1234", "IL"), (" 00501 ", "NY"), ("96701", "HI"), ("02108", "MA"), ("021081234", "MA")],
)
def test_a_zip_code_names_its_state(zip_code: str, state: str) -> None:
    assert climate_of(zip_code).state == state


@pytest.mark.parametrize("zip_code", [None, "", "1521", "abcde", "15213x", "٠٢١٠٨", "00601", "99999-"])
def test_what_names_no_state_gets_the_national_average(zip_code: str | None) -> None:
    climate = climate_of(zip_code)
    assert climate.state is None
    assert climate.heating_degree_days == pytest.approx(4339 / 1.8)


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
