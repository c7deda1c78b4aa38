"""Thermographic analysis: from a colour photo and a thermal photo to a leak map, a cost and what to do.

Pure computation on the CPU. It runs in a worker process and never on the event loop. The same bytes in give the same
bytes out in any process.

Data flows through the rooms in one direction: :mod:`.reading` turns a photo into temperatures, :mod:`.finding` turns
temperatures into regions, :mod:`.judging` turns regions into losses and advice, :mod:`.telling` writes the report.
:mod:`.basis` holds what all of them start from. :mod:`.submission` leads one submission through the rooms.
"""
