"""OpenTelemetry: a collector, made here, is sent the span of a request in the client's trace.

It starts the server itself (`--program`), which has to know the collector's address.
"""

import json
import signal
import subprocess
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from urllib.request import Request, urlopen

import grpc

from cases import arguments, check, demand, equal

EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
# W3C Trace Context: version, trace, the client's span, sampled.
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN = "00f067aa0ba902b7"
TIMEOUT_SECONDS = 60


class Collector(grpc.GenericRpcHandler):
    """Keeps what it is sent as it came."""

    def __init__(self):
        self.exports = []

    def service(self, call):
        # Without serializers, messages are bytes; no bytes are the empty answer.
        return grpc.unary_unary_rpc_method_handler(self._export) if call.method == EXPORT else None

    def _export(self, request, _):
        self.exports.append(request)
        return b""


def main():
    given, model = arguments(__doc__)
    demand(given.program, "no --program")
    collector = Collector()
    with listening(collector) as endpoint:
        with check("a request with a traceparent is answered"):
            status = serve(given.program, endpoint, lambda http: predict(http, model.cases[0]["text"]))
        with check("the server ends when told to"):
            equal(status, 0)
    # Ending, the server sends what it still has.
    exported = b"".join(collector.exports)
    with check("spans are exported"):
        demand(exported, "nothing came")
    with check("the span is in the client's trace, below the client's span"):
        demand(bytes.fromhex(TRACE) in exported, "the trace is not in it")
        demand(bytes.fromhex(SPAN) in exported, "the client's span is not in it")
    with check("the span has the request's name"):
        demand(b"POST /predict" in exported, "the name is not in it")


@contextmanager
def listening(collector):
    """The URL of the collector, while it runs."""
    server = grpc.server(ThreadPoolExecutor(max_workers=1), handlers=[collector])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.stop(grace=None).wait()


def serve(program, endpoint, ask):
    """Starts the server, calls `ask` with its URL and gives its exit status."""
    command = [program, "serve", "--http-port", "0", "--disable-grpc", "--otlp-endpoint", endpoint]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
        try:
            ask(address(server.stderr))
            server.send_signal(signal.SIGTERM)
            # What it still says is read, for a full pipe would stop it.
            server.communicate(timeout=TIMEOUT_SECONDS)
        finally:
            server.kill()
    return server.returncode


def address(lines):
    """Where the server says that it listens."""
    said = []
    for line in lines:
        said.append(line)
        if "listening: http://" in line:
            return line.split("listening: ")[1].strip()
    raise AssertionError(f"the server ended: {''.join(said)}")


def predict(http, text):
    headers = {"Content-Type": "application/json", "traceparent": f"00-{TRACE}-{SPAN}-01"}
    request = Request(f"{http}/predict", json.dumps({"inputs": [text]}).encode(), headers)
    with urlopen(request, timeout=TIMEOUT_SECONDS) as response:
        equal(len(json.load(response)["results"]), 1)


if __name__ == "__main__":
    main()
