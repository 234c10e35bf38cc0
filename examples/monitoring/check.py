"""Whether mmap.lua gives redis_exporter all that the alerts and the dashboard ask for, and promtool takes both.

    pip install redis
    python examples/monitoring/check.py [port]

promtool is part of Debian's package prometheus; PROMTOOL may say where it is.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import redis

HERE = Path(__file__).resolve().parent
TEXTS = {"mmap_fsync", "mmap_last_error"}

client = redis.Redis(port=int(sys.argv[1] if len(sys.argv) > 1 else 6379), decode_responses=True)
names = client.eval((HERE / "mmap.lua").read_text(), 0)[::2]
info = client.eval("return redis.call('INFO', 'mmap')", 0)
fields = re.findall(r"^(mmap_\w+):", info, re.MULTILINE)
assert names == [field for field in fields if field not in TEXTS], names

dashboard = json.loads((HERE / "dashboard.json").read_text())
queries = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", [])]
for name, text in ("alerts.yml", (HERE / "alerts.yml").read_text()), ("dashboard.json", "\n".join(queries)):
    keys = set(re.findall(r'key="(\w+)"', text))
    assert keys and keys <= set(names), f"{name}: INFO mmap has no {keys - set(names)}"
ids = [panel["id"] for panel in dashboard["panels"]]
assert len(ids) == len(set(ids)), "dashboard.json: two panels have one id"

promtool = os.environ.get("PROMTOOL") or shutil.which("promtool") or sys.exit("there is no promtool: apt install prometheus")
for command in ["check", "rules", "alerts.yml"], ["test", "rules", "alerts_test.yml"]:
    subprocess.run([promtool, *command], cwd=HERE, check=True)
with tempfile.NamedTemporaryFile("w", suffix=".yml") as file:
    # Queries as rules, with what Grafana puts in the place of its variables. JSON is YAML.
    expressions = [query.replace("$__rate_interval", "1m").replace("$instance", ".*") for query in queries]
    rules = [{"record": f"query:{i}", "expr": expression} for i, expression in enumerate(expressions)]
    json.dump({"groups": [{"name": "dashboard", "rules": rules}]}, file)
    file.flush()
    subprocess.run([promtool, "check", "rules", file.name], check=True)
