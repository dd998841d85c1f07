"""What schemathesis finds against the OpenAPI document: nothing.

usage: openapi_cases.py [--seconds N] [--examples N] [--seed N]
It runs beside this interpreter (`schemathesis` of the same folder), on a server with a key, so that
routes are asked without it too.
"""
import argparse
import os
import pathlib
import re
import subprocess
import sys
import tempfile

from common import Http, check, end

KEY = "a-key"


def cases(options):
    with Http("--api-key", KEY) as server, tempfile.TemporaryDirectory() as folder:
        call = [
            str(pathlib.Path(sys.executable).parent / "schemathesis"), "run", server.base + "/openapi.json",
            "-H", f"Authorization: Bearer {KEY}", "--checks", "all", "--seed", str(options.seed),
            "--max-examples", str(options.examples), "--max-time", str(options.seconds),
            "--request-timeout", "60", "--no-color", "--output-sanitize", "false",
        ]
        # Not in the folder of the caller: it keeps a database of examples.
        ran = subprocess.run(call, cwd=folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                             env={**os.environ, "COLUMNS": "200"})
    generated = re.search(r"(\d+) generated", ran.stdout)
    count = int(generated.group(1)) if generated else 0
    print(f"schemathesis: {count} cases")
    if ran.returncode != 0 or count < 100:
        print(ran.stdout[-6000:])
        raise AssertionError(f"schemathesis ended with {ran.returncode} after {count} cases")


if __name__ == "__main__":
    words = argparse.ArgumentParser()
    words.add_argument("--seconds", type=int, default=25)
    words.add_argument("--examples", type=int, default=20)
    words.add_argument("--seed", type=int, default=1)
    options = words.parse_args()
    check("schemathesis: the OpenAPI document", lambda: cases(options))
    end()
