"""gRPC messages in gzip, by grpcio's own channel option: the same answers as without.

Messages are written by hand, byte for byte: what is compressed does not depend on
what they mean.
"""

import grpc

from cases import arguments, check, equal, refused, says

TIMEOUT_SECONDS = 60

# More than one message may have, by default.
MUCH = "a " * (8 << 20)


def main():
    server, model = arguments(__doc__)
    texts = [case["text"] for case in model.cases[:3]]
    services = {"sentence_embedding": "SentenceEmbeddingInference", "embedding": "EmbeddingInference"}
    method = f"/encoderfile.{model.task}.{services[model.task]}/Predict"
    predict = caller(server.grpc, method)
    with check("a message in gzip is answered as without"):
        equal(predict(message(texts), grpc.Compression.Gzip), predict(message(texts), None))
    with check("the limit is of the message when it is decompressed"):
        with refused(grpc.RpcError) as caught:
            predict(message([MUCH]), grpc.Compression.Gzip)
        equal(caught[0].code(), grpc.StatusCode.RESOURCE_EXHAUSTED)
    with check("another compression is refused by name"):
        with refused(grpc.RpcError) as caught:
            predict(message(texts), grpc.Compression.Deflate)
        equal(caught[0].code(), grpc.StatusCode.UNIMPLEMENTED)
        says(caught[0].details(), "deflate")


def caller(address, method):
    """A function from bytes to bytes; each call has a connection of its own."""

    def call(request, compression):
        with grpc.insecure_channel(address, options=[("grpc.max_send_message_length", -1)]) as channel:
            # Without serializers, messages are bytes.
            send = channel.unary_unary(method)
            return send(request, timeout=TIMEOUT_SECONDS, compression=compression)

    return call


def message(texts):
    """`repeated string inputs = 1`."""
    fields = (text.encode() for text in texts)
    return b"".join(b"\x0a" + varint(len(field)) + field for field in fields)


def varint(number):
    low, rest = number & 0x7F, number >> 7
    return bytes([low]) if rest == 0 else bytes([low | 0x80]) + varint(rest)


if __name__ == "__main__":
    main()
