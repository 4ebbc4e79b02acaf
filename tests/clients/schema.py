"""Schemathesis: requests made up from /openapi.json must be answered as it says.

Right and wrong requests, the same in every run. No answer may be a 5xx, or have
a status, a content type or a body that the document does not name.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

from cases import arguments, check, demand

CHECKS = ("not_a_server_error", "status_code_conformance", "content_type_conformance", "response_schema_conformance")
EXAMPLES = 40


def main():
    server, _ = arguments(__doc__)
    program = Path(sys.executable).with_name("schemathesis")
    command = [
        str(program), "run", f"{server.http}/openapi.json",
        "--url", server.http,
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
    if server.api_key:
        command += ["--header", f"Authorization: Bearer {server.api_key}"]
    # It leaves what it has learned in the folder it runs in.
    with check("schemathesis"), tempfile.TemporaryDirectory() as scratch:
        status = subprocess.run(command, cwd=scratch).returncode
        demand(status == 0, f"status {status}; what it found is above")


if __name__ == "__main__":
    main()
