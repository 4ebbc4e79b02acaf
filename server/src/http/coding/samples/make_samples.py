"""Compresses a request with the reference implementations of each coding.

Made with Python 3.11's zlib and gzip, brotli 1.2.1 and zstandard 0.25.0:

    pip install brotli==1.2.1 zstandard==0.25.0 && python make_samples.py
"""

import gzip
import json
import zlib
from pathlib import Path

import brotli
import zstandard

FOLDER = Path(__file__).parent

# More than one request may have, by default.
MUCH = b" " * (16 << 20)


def main():
    texts = [f"Text {number} of a request that was compressed." for number in range(20)]
    body = json.dumps({"inputs": texts}).encode()
    half = len(body) // 2
    write("body.json", body)
    write("body.gz", gz(body))
    write("two-members.gz", gz(body[:half]) + gz(body[half:]))
    write("body.zlib", zlib.compress(body, 9))
    write("body.deflate", raw_deflate(body))
    write("body.br", brotli.compress(body))
    write("body.zst", zst(body))
    skippable = (0x184D2A50).to_bytes(4, "little") + (5).to_bytes(4, "little") + b"aside"
    write("frames.zst", zst(body[:half]) + skippable + zst(body[half:]))
    # As if for a reader that keeps 128 MB.
    write("wide-window.zst", zst(body, window_log=27, write_content_size=False))
    write("much.gz", gz(MUCH))
    write("much.gz.gz", gz(gz(MUCH)))
    write("much.zlib", zlib.compress(MUCH, 9))
    write("much.br", brotli.compress(MUCH))
    write("much.zst", zst(MUCH))


def write(name, content):
    (FOLDER / name).write_bytes(content)


def gz(content):
    return gzip.compress(content, 9, mtime=0)


def raw_deflate(content):
    compressor = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return compressor.compress(content) + compressor.flush()


def zst(content, **parameters):
    parameters = {"write_checksum": True} | parameters
    made = zstandard.ZstdCompressionParameters.from_level(19, **parameters)
    compressor = zstandard.ZstdCompressor(compression_params=made).compressobj()
    return compressor.compress(content) + compressor.flush()


if __name__ == "__main__":
    main()
