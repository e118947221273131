"""The least that any program of this kind does: read the body, parse it, write the same columns. The yardstick."""

import json
import sqlite3
import sys
import urllib.request

url, path = sys.argv[1:]
with urllib.request.urlopen(url) as answer:
    body = answer.read()
rows = json.loads(body)["data"]
columns = list(rows[0])
database = sqlite3.connect(path)
database.execute(f"CREATE TABLE IF NOT EXISTS numbers ({', '.join(columns)})")
database.execute("DELETE FROM numbers")
database.executemany(f"INSERT INTO numbers VALUES ({', '.join(':' + c for c in columns)})", rows)
database.commit()
