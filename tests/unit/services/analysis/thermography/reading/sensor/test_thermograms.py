"""What becomes of sensor data in a thermogram: lying like the picture, with marks and doubts."""

import numpy as np

from services.analysis.thermography.reading.thermogram import Photograph, ScaleSource, Thermogram, read_thermogram
from tests.unit.services.analysis.thermography.rjpeg import Camera, rjpeg


def read(data: bytes) -> Thermogram:
    return read_thermogram(Photograph(data), inside_c=20.0, outside_c=0.0)


def leaky() -> np.ndarray:
    """Sensor values (h, w) with a leak at the upper left."""
    y, x = np.mgrid[0:1:60j, 0:1:80j]
    level = 14_000 - 300 * y
    level[(abs(x - 0.2) < 0.1) & (abs(y - 0.3) < 0.15)] -= 1_500
    return level.astype(np.uint16)


def grey(raw: np.ndarray) -> np.ndarray:
    place = ((raw - raw.min()) / np.ptp(raw) * 255).astype(np.uint8)
    return np.repeat(np.repeat(np.repeat(place[..., None], 3, 2), 4, 0), 4, 1)


def test_a_leak_lies_where_a_mirrored_picture_shows_it():
    raw = leaky()
    thermogram = read(rjpeg(raw, picture=grey(raw[:, ::-1])))
    rows, columns = np.nonzero(thermogram.temperature < np.quantile(thermogram.temperature, 0.03))
    assert columns.mean() / thermogram.temperature.shape[1] > 0.7
    assert rows.mean() / thermogram.temperature.shape[0] < 0.4


def test_odd_settings_of_the_camera_lower_the_trust_and_are_named():
    plain, odd = read(rjpeg(leaky())), read(rjpeg(leaky(), Camera(emissivity=0.6)))
    assert plain.trust == 1
    assert odd.trust < 0.7
    assert any("emissivity of 0.60" in reason for reason in odd.reasons)
    np.testing.assert_allclose(odd.temperature, plain.temperature, atol=0.01)


def test_sky_counts_as_colder_than_the_scale_and_takes_no_part():
    raw = leaky()
    raw[:20] = 0
    thermogram = read(rjpeg(raw, Camera(planck_o=342)))
    assert thermogram.scale is ScaleSource.RADIOMETRIC
    assert not thermogram.valid[:20].any()
    assert thermogram.clipped_low[:20].all()
    assert thermogram.valid[20:].all()
    assert not thermogram.clipped_low[20:].any()
