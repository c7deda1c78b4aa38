"""Synthetic thermal photos with exactly known truth.

A scene is a photographed plane (a wall, a window or a door) with a physical state per point, from which both the photo
and its truth follow; nothing of the analysis is used, so that the two can disagree. What is modelled physically:

* **Conduction.** Every point has a U-value from the room's air to the outside air [W/m²K]. The surface settles at the
  thermal index f = 1 − U·R, R being the inner surface resistance (0.13 m²K/W, larger in corners where air moves less).
  Studs, frames, spacers at the edge of glass, panels, geometric bridges of corners are ordinary parts of a healthy
  building and no defect.
* **Missing insulation, thermal bridges, single glazing** raise U. Their excess UA [W/K] is the integral of the raise
  over their area: exact, and blurred in the photo only by the lateral conduction of the surface layer.
* **Air leaks** have a leakage area [cm² at 4 Pa]. The heat follows from the Sherman–Grimsrud relation for the season.
  The cold that is seen follows from the same area: a jet as wide as the crack, whose effectiveness falls with the
  distance in crack widths and whose heat transfer competes with the radiation of the room (film cooling). Streaks come
  from an uneven crack.
* **Hot objects, sun, reflections, furniture** lie in front of or on the plane and carry no loss.
* **Air** in the room is warmer above than below. Glass mirrors the room (emissivity 0.84).
* **The camera** sees the plane in mild perspective, blurred, vignetted, with noise and column pattern, and saves it as
  a raw R-JPEG or through a palette with a scale that may clip, with the printing that phone apps add.

Temperatures are °C, lengths metres, images (height, width). A scene is a function of its integer seed alone.
"""

from tests.synthetic.scenes import Condition, Scene, make_scene

__all__ = ["Condition", "Scene", "make_scene"]
