"""A gRPC client of upstream's: prediction and metadata of the model's service, health, reflection.

The client is generated at the start of each run from upstream's own definitions, in
`upstream`, as its users' are; what upstream lacks is asked for with the messages that
the server's reflection describes.
"""

import importlib
import math
import sys
import tempfile
from pathlib import Path

import grpc
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from grpc_tools import protoc

from cases import arguments, check, demand, equal, near, refused, says, unit

SERVICES = {
    "embedding": "EmbeddingInference",
    "sentence_embedding": "SentenceEmbeddingInference",
    "sequence_classification": "SequenceClassificationInference",
    "token_classification": "TokenClassificationInference",
}
UPSTREAM = Path(__file__).parent / "upstream"
TIMEOUT_SECONDS = 60


def main():
    server, model = arguments(__doc__)
    call = {
        "timeout": TIMEOUT_SECONDS,
        "metadata": [("authorization", f"Bearer {server.api_key}")] if server.api_key else None,
    }
    service = f"encoderfile.{model.task}.{SERVICES[model.task]}"
    with grpc.insecure_channel(server.grpc) as channel:
        with check("a client is generated"):
            generated = Generated(UPSTREAM, model.task)
        stub = generated.stub(channel)
        predict(stub, generated, model, call)
        metadata(stub, generated, model, call)
        mistakes(channel, generated, call)
        health(channel, service, call)
        # Its client takes no metadata, so it cannot present a key.
        if not server.api_key:
            described = Described(channel, service)
            reflection(described, service, model, call)
            same_numbers(described, generated)
            options(described, model, call)
        else:
            wrong_key(stub, generated, model)


class Generated:
    """The modules protoc makes of the definitions."""

    def __init__(self, folder, task):
        # Kept as long as this is: modules are read when they are first asked for.
        self._folder = tempfile.TemporaryDirectory(prefix="encoderfile-grpc-")
        out = self._folder.name
        files = [str(it) for it in sorted(folder.glob("*.proto"))]
        status = protoc.main(["protoc", f"-I{folder}", f"--python_out={out}", f"--grpc_python_out={out}", *files])
        demand(files and status == 0, f"protoc ended with {status} for {folder}/*.proto")
        sys.path.insert(0, out)
        self.task = task
        self.metadata = importlib.import_module("metadata_pb2")

    def stub(self, channel, task=None):
        task = task or self.task
        services = importlib.import_module(f"{task}_pb2_grpc")
        return getattr(services, f"{SERVICES[task]}Stub")(channel)

    def request(self, task=None, **fields):
        task = task or self.task
        messages = importlib.import_module(f"{task}_pb2")
        return getattr(messages, SERVICES[task].replace("Inference", "Request"))(**fields)


def predict(stub, generated, model, call):
    # The service takes texts, not pairs.
    cases = [case for case in model.cases if "text_pair" not in case]
    request = generated.request(inputs=[case["text"] for case in cases], metadata={"request": "7"})
    with check("Predict"):
        demand(cases, "every case of the folder is a pair")
        response = stub.Predict(request, **call)
        equal(response.model_id, model.name)
        equal(dict(response.metadata), {"request": "7"})
        equal(len(response.results), len(cases))
        for result, case in zip(response.results, cases):
            SAME[model.task](model, result, case)


class Described:
    """The model's service as the server describes it."""

    def __init__(self, channel, service):
        self.database = ProtoReflectionDescriptorDatabase(channel)
        self.pool = DescriptorPool(self.database)
        self.service = self.pool.FindServiceByName(service)
        self._predict = self.service.FindMethodByName("Predict")
        self._call = channel.unary_unary(
            f"/{service}/Predict",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=GetMessageClass(self._predict.output_type).FromString,
        )

    def predict(self, call, **fields):
        return self._call(GetMessageClass(self._predict.input_type)(**fields), **call)

    def message(self, name, **fields):
        return GetMessageClass(self.pool.FindMessageTypeByName(name))(**fields)


def options(described, model, call):
    """What upstream's requests do not have."""
    case = model.cases[0]

    def result(text=case["text"], **options):
        options = described.message("encoderfile.options.Options", **options)
        return described.predict(call, inputs=[text], options=options).results[0]

    if model.task == "sentence_embedding":
        with check("Predict, dimensions"):
            half = len(case["embedding"]) // 2
            got = result(dimensions=half, normalize=True).embedding
            model.same_embedding(got, unit(case["embedding"][:half]))
        cut = [case for case in model.cases if case["tokens"] > model.tokens_read(case)]
        if cut and "prompt" not in cut[0]:
            with check("Predict, usage of a text that was cut"):
                usage = result(cut[0]["text"]).usage
                equal((usage.tokens_total, usage.tokens_used), (cut[0]["tokens"], model.tokens_read(cut[0])))
    if model.task == "embedding":
        with check("Predict, special tokens"):
            rows = [it.embedding for it in result(special_tokens=True).embeddings]
            equal(len(rows), len(case["input_ids"]))
            near(rows[0], case["cls"])
            near(rows[-1], case["last_token"])
    if model.task == "token_classification":
        with check("Predict, special tokens"):
            tokens = result(special_tokens=True).tokens
            equal([it.token_info.token for it in tokens], case["tokens"])
            for token, expected in zip(tokens, case["logits"]):
                near(token.logits, expected)


def same_sentence_embedding(model, result, case):
    model.same_embedding(result.embedding, case["embedding"])


def same_token_embeddings(model, result, case):
    """The special tokens are left out; the reference has their sum and theirs."""
    same_tokens([it.token_info for it in result.embeddings], case)
    count = len(case["input_ids"])
    for column in range(len(case["mean"])):
        got = sum(it.embedding[column] for it in result.embeddings)
        expected = count * case["mean"][column] - case["cls"][column] - case["last_token"][column]
        near(got / count, expected / count)


def same_classes(model, result, case):
    labels = model.labels()
    near(result.logits, case["logits"])
    by_label = dict(zip(labels, result.scores))
    if "pipeline" in case:
        equal(len(case["pipeline"]), len(labels))
        for it in case["pipeline"]:
            near(by_label[it["label"]], it["score"])
    else:
        near(result.scores, case["scores"])
    best = max(range(len(labels)), key=lambda index: case["logits"][index])
    equal((result.predicted_index, result.predicted_label), (best, labels[best]))


def same_token_classes(model, result, case):
    same_tokens([it.token_info for it in result.tokens], case)
    labels = model.labels()
    logits = [row for row, inside in zip(case["logits"], in_text(case)) if inside]
    for token, expected in zip(result.tokens, logits):
        near(token.scores, softmax(expected))
        best = max(range(len(labels)), key=expected.__getitem__)
        equal(token.label, labels[best])
        near(token.score, token.scores[best])
    # Of the reference's scores there are those of the tokens with a label, in most cases.
    if "pipeline" in case:
        found = [it.score for it in result.tokens if it.label != "O"]
        near(found, [it["score"] for it in case["pipeline"]["none"]])


def softmax(logits):
    exponentials = [math.exp(it - max(logits)) for it in logits]
    return [it / sum(exponentials) for it in exponentials]


def same_tokens(infos, case):
    reference = zip(case["tokens"], case["input_ids"], case["offsets"], in_text(case))
    expected = [(token, id_, *offsets) for token, id_, offsets, inside in reference if inside]
    equal([(it.token, it.token_id, it.start, it.end) for it in infos], expected)


def in_text(case):
    """Whether each token is in the text: all but the first and the last, which are special."""
    count = len(case["input_ids"])
    return [0 < index < count - 1 for index in range(count)]


SAME = {
    "embedding": same_token_embeddings,
    "sentence_embedding": same_sentence_embedding,
    "sequence_classification": same_classes,
    "token_classification": same_token_classes,
}


def metadata(stub, generated, model, call):
    with check("GetModelMetadata"):
        response = stub.GetModelMetadata(generated.metadata.GetModelMetadataRequest(), **call)
        equal(response.model_id, model.name)
        name = generated.metadata.ModelType.Name(response.model_type)
        equal(name.removeprefix("MODEL_TYPE_"), model.task.upper())
        if "classification" in model.task:
            equal(dict(response.id2label), dict(enumerate(model.labels())))
        else:
            equal(dict(response.id2label), {})


def mistakes(channel, generated, call):
    with check("no inputs are INVALID_ARGUMENT"):
        with refused(grpc.RpcError) as caught:
            generated.stub(channel).Predict(generated.request(inputs=[]), **call)
        equal(caught[0].code(), grpc.StatusCode.INVALID_ARGUMENT)
        says(caught[0].details(), "empty")
    # The limits that a server has unless told otherwise.
    for name, inputs in [("many texts", [""] * 2049), ("large a message", ["x" * 8_000_001])]:
        with check(f"too {name} is RESOURCE_EXHAUSTED"):
            with refused(grpc.RpcError) as caught:
                generated.stub(channel).Predict(generated.request(inputs=inputs), **call)
            equal(caught[0].code(), grpc.StatusCode.RESOURCE_EXHAUSTED)
    with check("the service is also found without its package"):
        # Without serializers, messages are bytes.
        path = f"/encoderfile.{SERVICES[generated.task]}/GetModelMetadata"
        full = f"/encoderfile.{generated.task}.{SERVICES[generated.task]}/GetModelMetadata"
        equal(channel.unary_unary(path)(b"", **call), channel.unary_unary(full)(b"", **call))
    for task in [it for it in SERVICES if it != generated.task]:
        with check(f"{SERVICES[task]} is UNIMPLEMENTED"):
            with refused(grpc.RpcError) as caught:
                generated.stub(channel, task).Predict(generated.request(task, inputs=["text"]), **call)
            equal(caught[0].code(), grpc.StatusCode.UNIMPLEMENTED)
            says(caught[0].details(), generated.task)


def health(channel, service, call):
    stub = health_pb2_grpc.HealthStub(channel)
    serving = health_pb2.HealthCheckResponse.SERVING
    for name in ("", service):
        with check(f"health of {name or 'the server'}"):
            equal(stub.Check(health_pb2.HealthCheckRequest(service=name), **call).status, serving)
    with check("health of an unknown service is NOT_FOUND"):
        with refused(grpc.RpcError) as caught:
            stub.Check(health_pb2.HealthCheckRequest(service="unknown"), **call)
        equal(caught[0].code(), grpc.StatusCode.NOT_FOUND)
    with check("health, watched"):
        watched = stub.Watch(health_pb2.HealthCheckRequest(service=service), **call)
        equal(next(watched).status, serving)
        watched.cancel()


def reflection(described, service, model, call):
    with check("reflection lists the services"):
        listed = set(described.database.get_services())
        missing = {service, "grpc.health.v1.Health"} - listed
        demand(not missing, f"{sorted(missing)} not in {sorted(listed)}")
    with check("a client made from reflection alone"):
        equal(sorted(it.name for it in described.service.methods), ["GetModelMetadata", "Predict"])
        response = described.predict(call, inputs=[model.cases[0]["text"]])
        SAME[model.task](model, response.results[0], model.cases[0])


def same_numbers(described, generated):
    """Upstream's messages, and nothing of ours below 10 in them."""
    with check("numbers below 10 are upstream's"):
        for name in (generated.task, "metadata"):
            file = importlib.import_module(f"{name}_pb2").DESCRIPTOR
            for message in file.message_types_by_name.values():
                ours = described.pool.FindMessageTypeByName(message.full_name)
                low = {it.number: it.name for it in ours.fields if it.number < 10}
                equal(low, {it.number: it.name for it in message.fields})


def wrong_key(stub, generated, model):
    for name, key in (("a wrong key", [("authorization", "Bearer wrong")]), ("no key", None)):
        with check(f"{name} is UNAUTHENTICATED"):
            with refused(grpc.RpcError) as caught:
                request = generated.request(inputs=[model.cases[0]["text"]])
                stub.Predict(request, timeout=TIMEOUT_SECONDS, metadata=key)
            equal(caught[0].code(), grpc.StatusCode.UNAUTHENTICATED)


if __name__ == "__main__":
    main()
