"""How a thermal camera sees the plane: perspective, blur, vignetting, noise.

Truth is carried through the same optics as the picture: masks are warped with it and stay exact to a pixel.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from tests.synthetic.physics import Field
from tests.synthetic.plane import Rng, soft_noise

SENSORS = ((80, 60), (120, 90), (160, 120), (206, 156), (256, 192), (320, 240), (640, 480))


@dataclass(frozen=True, slots=True)
class Camera:
    """A sensor of ``size`` (width, height) and its flaws."""

    size: tuple[int, int]
    blur: float  # sensor pixels
    noise: float  # K
    pattern: float  # K, columns
    vignetting: float  # K at the corners
    homography: NDArray[np.float64]  # plane points -> sensor pixels

    def look(self, plane_image: Field, *, nearest: bool = False) -> Field:
        """A plane image as the sensor's grid sees it, without blur and noise."""
        height, width = plane_image.shape[:2]
        shrink = max(width / self.size[0], height / self.size[1])
        image: Field = plane_image
        if not nearest and shrink > 1.5:  # the pixels of a coarse sensor average over what they see
            image = np.asarray(cv2.GaussianBlur(plane_image, (0, 0), 0.35 * shrink), np.float32)
        flags = cv2.INTER_NEAREST if nearest else cv2.INTER_LINEAR
        warped = cv2.warpPerspective(image, self.homography, self.size, flags=flags, borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(warped, np.float32)

    def measure(self, rng: Rng, temperature: Field) -> Field:
        """What the sensor reports for an ideal picture of temperatures, °C."""
        image = cv2.GaussianBlur(temperature, (0, 0), self.blur)
        rows, columns = image.shape
        y, x = np.mgrid[-1 : 1 : rows * 1j, -1 : 1 : columns * 1j].astype(np.float32)
        image = image + self.vignetting * (x**2 + y**2) / 2
        image = image + self.noise * rng.normal(0, 1, image.shape) + self.pattern * rng.normal(0, 1, (1, columns))
        return np.asarray(image + 0.15 * self.noise * soft_noise(rng, image.shape, 30), np.float32)


def choose_camera(rng: Rng, plane_shape: tuple[int, int]) -> Camera:
    """A phone's or a hand-held camera, held by a layman: a little tilted and turned."""
    rows, columns = plane_shape
    wide = columns >= rows
    size = SENSORS[rng.choice(len(SENSORS), p=[0.07, 0.08, 0.25, 0.15, 0.2, 0.15, 0.1])]
    width, height = size if wide else size[::-1]
    # The view's corners in the plane: slightly inside, so that nothing beyond the plane is ever seen.
    margin = 0.035
    corners = np.array([[0, 0], [columns, 0], [columns, rows], [0, rows]], np.float64)
    centre = corners.mean(0)
    tilt = rng.uniform(-margin, margin, (4, 2)) * (columns, rows)
    angle = np.deg2rad(rng.normal(0, 1.0))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    looked = (corners - centre) @ turn.T * (1 - 2 * margin - 0.02) + centre + tilt
    target = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    homography = cv2.getPerspectiveTransform(looked.astype(np.float32), target)
    return Camera(
        (width, height),
        blur=rng.uniform(0.5, 1.1),
        noise=rng.uniform(0.03, 0.12),
        pattern=rng.uniform(0.0, 0.04),
        vignetting=rng.uniform(-0.7, 0.4),
        homography=np.asarray(homography, np.float64),
    )


def pixel_areas(camera: Camera, plane_shape: tuple[int, int], point_area: float) -> Field:
    """m² of the plane that each sensor pixel sees."""
    width, height = camera.size
    inverse = np.linalg.inv(camera.homography)
    u, v = np.meshgrid(np.arange(width + 1.0), np.arange(height + 1.0))
    w = inverse[2, 0] * u + inverse[2, 1] * v + inverse[2, 2]
    x = (inverse[0, 0] * u + inverse[0, 1] * v + inverse[0, 2]) / w
    y = (inverse[1, 0] * u + inverse[1, 1] * v + inverse[1, 2]) / w
    dx1, dy1 = x[1:, 1:] - x[:-1, :-1], y[1:, 1:] - y[:-1, :-1]
    dx2, dy2 = x[:-1, 1:] - x[1:, :-1], y[:-1, 1:] - y[1:, :-1]
    return np.asarray(0.5 * np.abs(dx1 * dy2 - dx2 * dy1) * point_area, np.float32)
