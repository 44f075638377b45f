"""Run a probe over many stores in one process: a file of jobs in, one line of facts a job out.

Runs inside a reader's own environment, so it imports nothing of the project. Each line is flushed, so that whoever
started this knows at which store a process died.
"""

import json
import math
import sys
import traceback
import warnings
from pathlib import Path


def main(probe, setup=None):
    """Answer each job of the file named on the command line by what `probe` returns or raises."""
    warnings.simplefilter("ignore")
    tools = setup() if setup else None
    print(json.dumps({"ready": True}), flush=True)
    for line in Path(sys.argv[1]).read_text().splitlines():
        job = json.loads(line)
        try:
            facts = probe(job, tools) if setup else probe(job)
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            where = traceback.extract_tb(error.__traceback__)[-1]
            text = " ".join(str(error).split())[:300]
            place = f"{Path(where.filename).name}:{where.lineno}"
            facts = {"error": f"{type(error).__name__}: {text}", "at": place}
        print(json.dumps({"store": job["name"], "facts": facts}), flush=True)


def number(value):
    """Turn a pixel into JSON: None where it is missing."""
    value = float(value)
    return None if math.isnan(value) else value


def box(transform, shape):
    """Box of a grid's outer edges from its transform `a b c d e f`, the first row's edge as ymax: upside down shows."""
    a, _, c, _, e, f = tuple(transform)[:6]
    return [c, f + e * shape[0], c + a * shape[1], f]
