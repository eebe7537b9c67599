from tests.real_redis import demand_real_redis, raw_client
from worker.local.redis import RedisServer


def test_a_server_answers_keeps_its_address_and_forgets_what_it_held() -> None:
    demand_real_redis()
    with RedisServer() as server:
        address = server.url
        with raw_client(server) as client:
            client.set("a", b"1")
            assert client.get("a") == b"1"
        server.kill()
        assert not server.is_ready()
        server.restart()
        assert server.is_ready()
        assert server.url == address
        with raw_client(server) as client:
            assert client.get("a") is None
    assert not server.is_ready()


def test_a_server_with_a_limit_refuses_more() -> None:
    demand_real_redis()
    with RedisServer(max_memory_bytes=1024 * 1024) as server, raw_client(server) as client:
        limit = client.config_get("maxmemory")
    assert limit == {"maxmemory": str(1024 * 1024)}
