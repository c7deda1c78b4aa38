"""``python -m services.tasks``: what it listens with."""

import socket
import sys

import pytest
from fastapi import FastAPI

from services.chassis.serving import HELD_BACK_SECONDS, Stop
from services.tasks import __main__ as program
from services.tasks.settings import TasksSettings


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux knows the option")
async def test_it_is_patient_with_a_gateway_that_waits_for_a_slow_client(
    monkeypatch: pytest.MonkeyPatch, unused_tcp_port: int
) -> None:
    settings = TasksSettings(
        host="127.0.0.1",
        port=unused_tcp_port,
        sql_url="mysql://db/tasks",
        mongo_url="mongodb://db",
        rabbitmq_url="amqp://broker",
        auth_url="http://auth",
        google_client_ids=("id",),
        service_token="between services only",
    )
    patience = []

    async def listen(app: FastAPI, sock: socket.socket, stop: Stop) -> None:
        patience.append(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT))

    monkeypatch.setattr(program, "load", lambda _: settings)
    monkeypatch.setattr(program, "configure_logs", lambda *_: None)
    monkeypatch.setattr(program, "serve_app", listen)
    await program._serve(Stop())
    assert patience == [HELD_BACK_SECONDS * 1000]
