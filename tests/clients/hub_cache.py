"""huggingface_hub and the cache that it shares with `encoderfile build`.

    hub_cache.py fetch ID               all of a model
    hub_cache.py fetch-file ID FILE     one file
    hub_cache.py have ID COMMIT FILE…   files that are there, as it asks a hub of them
    hub_cache.py have-offline …         the same without one
"""

import os
import sys


def main():
    what, model, *rest = sys.argv[1:]
    if what == "have-offline":
        os.environ["HF_HUB_OFFLINE"] = "1"
    import huggingface_hub

    if what == "fetch":
        folder = huggingface_hub.snapshot_download(model)
        print("ok", huggingface_hub.__version__, folder)
    elif what == "fetch-file":
        print("ok", huggingface_hub.hf_hub_download(model, rest[0]))
    else:
        commit, *files = rest
        have(huggingface_hub, model, commit, files)


def have(huggingface_hub, model, commit, files):
    for file in files:
        cached = huggingface_hub.try_to_load_from_cache(model, file)
        for revision in (None, commit):
            path = huggingface_hub.hf_hub_download(model, file, revision=revision)
            assert path == cached and f"/snapshots/{commit}/" in path, (path, cached)
        # Links, as it makes them itself.
        assert os.path.islink(path) and not os.path.isabs(os.readlink(path)), path
        print("ok", huggingface_hub.__version__, file)
    scanned = huggingface_hub.scan_cache_dir()
    assert not scanned.warnings, scanned.warnings
    (repo,) = scanned.repos
    (revision,) = repo.revisions
    assert repo.repo_id == model and revision.commit_hash == commit, repo
    assert "main" in revision.refs, revision.refs
    names = {str(file.file_path.relative_to(revision.snapshot_path)) for file in revision.files}
    assert names == set(files), (names, files)
    print("ok scan_cache_dir")


if __name__ == "__main__":
    main()
