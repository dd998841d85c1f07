"""Starts a server for openai_client.mjs. usage: node_client.py FOLDER_OF_NODE_MODULES"""
import json
import pathlib
import subprocess
import sys
import tempfile

from common import Http, library

TEXTS = ["hello world", "another text", "and a third one, which is longer"]
with Http() as server, tempfile.NamedTemporaryFile("w", suffix=".json") as file:
    json.dump({"texts": TEXTS, "vectors": library(TEXTS).tolist()}, file)
    file.flush()
    script = pathlib.Path(__file__).with_name("openai_client.mjs")
    folder = str(pathlib.Path(sys.argv[1]).resolve())
    sys.exit(subprocess.run(["node", str(script), server.base, file.name, folder], timeout=120).returncode)
