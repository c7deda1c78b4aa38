"""The claim *nothing that was acknowledged is ever lost*, put to the test: faults are injected while phones work.

``make chaos`` runs the services as processes against real servers, every link between them through a proxy of its own
(:mod:`.links`, :mod:`.system`). Phones that behave like the app write down every request and answer (:mod:`.workload`,
:mod:`.history`) while nemeses kill, cut, delay, fill and repeat (:mod:`.nemeses`). When all is healed, what the
databases hold (:mod:`.stores`) is compared with what the phones were told (:mod:`.checker`). That the checker sees
what it is for is shown by breaking the system in each of those ways (:mod:`.plants`).
"""
