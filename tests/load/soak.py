"""`make soak`: the checker for a long time, on both stacks one after the other, with figures in var/soak.json.

MINUTES (20, on each stack), STACK (sqlite or postgres; both), SEED (random, printed).
"""

import json
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path

LOAD = Path(__file__).resolve().parent
ROOT = LOAD.parents[1]


def main() -> int:
    seconds = 60 * float(os.environ.get("MINUTES", "20"))
    seed = os.environ.get("SEED") or str(random.SystemRandom().randrange(10**6))
    stacks = [os.environ["STACK"]] if os.environ.get("STACK") else ["sqlite", "postgres"]
    figures, failed = [], False
    for stack in stacks:
        with tempfile.NamedTemporaryFile(suffix=".json") as out:
            command = [sys.executable, str(LOAD / "checker.py"), "--stack", stack, "--seconds", str(seconds)]
            ended = subprocess.run([*command, "--seed", seed, "--migrate", "--out", out.name], check=False)
            failed = failed or ended.returncode != 0
            if text := Path(out.name).read_text():
                figures.append(json.loads(text))
    kept = ROOT / "var/soak.json"
    kept.parent.mkdir(exist_ok=True)
    kept.write_text(json.dumps(figures, indent=1, ensure_ascii=False))
    print(f"{'FAILED' if failed else 'Nothing lost'}: {kept.relative_to(ROOT)}", flush=True)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
