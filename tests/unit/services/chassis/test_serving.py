"""Listening: what is said when it does not work, and what connections inherit."""

import socket
import sys

import pytest

from services.chassis.serving import UNREAD_SECONDS, bind
from services.chassis.startup import StartupError


def test_a_taken_port_is_named_with_what_to_do():
    with bind("127.0.0.1", 0) as taken:
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(StartupError, match=rf"^Port {port} on 127\.0\.0\.1 is taken\. Choose another: PORT="):
            bind("127.0.0.1", port)


def test_an_address_of_another_machine_is_refused_with_what_to_do():
    with pytest.raises(StartupError, match=r"^Cannot listen on 192\.0\.2\.1:0: .* Set HOST and PORT\.$"):
        bind("192.0.2.1", 0)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux knows the option")
def test_a_client_that_takes_nothing_of_its_answer_is_cut_off_by_the_kernel():
    with bind("127.0.0.1", 0) as listener:
        listener.listen()
        listener.setblocking(True)
        with socket.create_connection(listener.getsockname()), listener.accept()[0] as accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == UNREAD_SECONDS * 1000
