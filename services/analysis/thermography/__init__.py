"""Thermographic analysis: from a colour photo and a thermal photo to a leak map, a cost and what to do.

Pure computation on the CPU; it runs in a worker process and never on the event loop. The same bytes in give the same
bytes out in any process. Reading a photo is the business of :mod:`.pictures`, turning a thermal photo into
temperatures that of :mod:`.thermogram` with :mod:`.radiometric`, :mod:`.palettes` and :mod:`.overlays`.
"""
