"""The test servers themselves: each fixture gives every test an empty place of its own."""

from typing import Any

import aio_pika
import pymongo
import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine

from services.chassis.database import database_url


@pytest.mark.parametrize("turn", ["first", "second"])
async def test_every_test_gets_an_empty_mysql_database(sql_url: str, turn: str) -> None:
    engine = create_async_engine(database_url(sql_url))
    async with engine.begin() as connection:
        assert (await connection.execute(sa.text("SHOW TABLES"))).all() == []
        await connection.execute(sa.text("CREATE TABLE mark (id INT)"))
    await engine.dispose()


@pytest.mark.parametrize("turn", ["first", "second"])
def test_every_test_gets_an_empty_mongo_database(mongo_url: str, turn: str) -> None:
    with pymongo.MongoClient[dict[str, Any]](mongo_url) as client:
        database = client.get_default_database()
        assert database.list_collection_names() == []
        database["mark"].insert_one({})


@pytest.mark.parametrize("turn", ["first", "second"])
async def test_every_test_gets_an_empty_virtual_host(rabbitmq_url: str, turn: str) -> None:
    async with await aio_pika.connect(rabbitmq_url) as connection:
        channel = await connection.channel()
        queue = await channel.declare_queue("mark", durable=True, arguments={"x-queue-type": "quorum"})
        assert queue.declaration_result.message_count == 0
        await channel.default_exchange.publish(aio_pika.Message(b"mark"), "mark")
