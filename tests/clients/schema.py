"""/openapi.json: says what the routes take, and the server answers as it says.

Each route's plainest request must fit the document. Then Schemathesis makes up
right and wrong requests from it, the same in every run: no answer may be a 5xx,
or have a status, a content type or a body that the document does not name.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from urllib.request import Request, urlopen

from jsonschema import Draft202012Validator

from cases import arguments, check, demand

# Requests of the APIs whose routes these are.
REQUESTS = {
    "/": {"inputs": "text", "parameters": {}},
    "/predict": {"inputs": ["text"], "metadata": {"request": "7"}},
    "/embed": {"inputs": ["text"], "truncate": True, "normalize": True},
    "/embed_all": {"inputs": "text"},
    "/embed_sparse": {"inputs": "text"},
    "/rerank": {"query": "text", "texts": ["text"], "return_text": True},
    "/similarity": {"inputs": {"source_sentence": "text", "sentences": ["text"]}},
    "/tokenize": {"inputs": "text", "add_special_tokens": False},
    "/decode": {"ids": [[1, 2]], "skip_special_tokens": True},
    "/v1/embeddings": {"input": ["text"], "model": "any", "encoding_format": "base64"},
    "/embeddings": {"input": "text"},
    "/invocations": {"inputs": "text"},
    "/vertex": {"instances": [{"inputs": "text"}]},
    "/api/show": {"model": "any", "verbose": True},
    "/api/embed": {"model": "any", "input": ["text"], "options": {"num_ctx": 256}},
    "/api/embeddings": {"model": "any", "prompt": "text"},
    "/v1/rerank": {"model": "any", "query": "text", "documents": ["text"], "return_documents": False},
    "/v2/rerank": {"model": "any", "query": "text", "documents": ["text"], "top_n": 1},
}
# What must not fit. What would take anything says nothing, but Ollama's requests may be
# empty, and SageMaker's are those of the task.
WRONG = {
    "/api/show": {"model": 5},
    "/api/embed": {"input": 5},
    "/api/embeddings": {"prompt": 5},
    "/invocations": "red",
}
CHECKS = ("not_a_server_error", "status_code_conformance", "content_type_conformance", "response_schema_conformance")
EXAMPLES = 40
TIMEOUT_SECONDS = 600


def main():
    server, _ = arguments(__doc__)
    headers = {"Authorization": f"Bearer {server.api_key}"} if server.api_key else {}
    with urlopen(Request(f"{server.http}/openapi.json", headers=headers), timeout=60) as response:
        document = json.load(response)
    for path, request in REQUESTS.items():
        with check(f"POST {path} is described"):
            validator = request_validator(document, path)
            validator.validate(request)
            wrong = WRONG.get(path, {"colour": "red"})
            demand(not validator.is_valid(wrong), f"{wrong!r} fits")
    with check("schemathesis"):
        schemathesis(server.http, headers)


def request_validator(document, path):
    place = f"#/paths/{path.replace('/', '~1')}/post/requestBody/content/application~1json/schema"
    return Draft202012Validator({"$ref": place} | document)


def schemathesis(http, headers):
    program = Path(sys.executable).with_name("schemathesis")
    command = [
        str(program), "run", f"{http}/openapi.json",
        "--url", http,
        "--checks", ",".join(CHECKS),
        # Without the stateful phase, which has no bound but time.
        "--phases", "examples,coverage,fuzzing",
        "--max-examples", str(EXAMPLES),
        "--generation-deterministic",
        # The page is for people, and MCP has a protocol and a client of its own.
        "--exclude-name", "GET /",
        "--exclude-path-regex", "^/mcp",
        "--request-timeout", "60",
        "--continue-on-failure",
        "--warnings", "off",
        "--no-color",
    ]
    for name, value in headers.items():
        command += ["--header", f"{name}: {value}"]
    # It leaves what it has learned in the folder it runs in.
    with tempfile.TemporaryDirectory() as scratch:
        status = subprocess.run(command, cwd=scratch, timeout=TIMEOUT_SECONDS).returncode
    demand(status == 0, f"status {status}; what it found is above")


if __name__ == "__main__":
    main()
