"""Photos without what they tell about people and places, for everybody who is shown one.

A photo is stored as it was uploaded, because the analysis reads what the camera noted in it. What leaves the system
is rebuilt from parts that are known to make the picture: its pixels, its orientation, what converts its colours, and a
FLIR camera's measurement. Whatever is not known to be one of these stays behind: GPS, dates, names of devices and
people, serial numbers, comments, thumbnails, further pictures and films behind the first. So a kind of metadata that
nobody here has heard of is left out too.
"""
