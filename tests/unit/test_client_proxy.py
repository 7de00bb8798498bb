"""What the client does with the environment it runs in."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading

import pytest

ASK = """
import sys
from sabayon.client import Client
print(Client(sys.argv[1], is_direct=sys.argv[2] == "direct", timeout_s=10).request("GET", "namespaces").body.decode())
"""


def answer_once(listener: socket.socket, body: bytes) -> None:
    connection, _ = listener.accept()
    with connection:
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s" % (len(body), body))


@pytest.mark.parametrize(("how", "answered"), [("direct", "server"), ("as the environment says", "proxy")])
def test_a_direct_client_passes_by_the_proxy_of_the_environment(how: str, answered: str) -> None:
    with socket.create_server(("127.0.0.2", 0)) as server, socket.create_server(("127.0.0.1", 0)) as proxy:
        listeners = {"server": server, "proxy": proxy}
        thread = threading.Thread(target=answer_once, args=(listeners[answered], answered.encode()))
        thread.start()
        host = f"http://127.0.0.2:{server.getsockname()[1]}"
        environment = {"http_proxy": f"http://127.0.0.1:{proxy.getsockname()[1]}"}
        command = [sys.executable, "-c", ASK, host, how]
        result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30)
        thread.join(10)
    assert result.stdout.strip() == answered, result.stderr
