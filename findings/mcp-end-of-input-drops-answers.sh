#!/bin/sh
# mcp 2.3.0, the official library of the Model Context Protocol: a server on standard input and output whose input ends cancels
# the calls that are under way, so that what a pipe asked is not answered: printf … | server, or a client that closes
# its end after the last question. The end of input says that nothing more is asked, not that nobody reads.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" --quiet install mcp==2.3.0
cat > "$place/server.py" <<'END'
import anyio
from mcp import types
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server


async def listed(context, params):
    tool = types.Tool(name="wait", description="Answers after a moment.", input_schema={"type": "object"})
    return types.ListToolsResult(tools=[tool])


async def called(context, params):
    await anyio.sleep(0.5)
    return types.CallToolResult(content=[types.TextContent(type="text", text="waited")])


async def main():
    server = Server("waits", on_list_tools=listed, on_call_tool=called)
    async with stdio_server() as (read, write):
        await server.run(read, write, server.create_initialization_options())


anyio.run(main)
END
"$place/venv/bin/python" - "$place" <<'END'
import json
import subprocess
import sys
import time
from importlib.metadata import version

print("mcp", version("mcp"))
hello = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "pipe", "version": "1"}}
asked = [
    {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": hello},
    {"jsonrpc": "2.0", "method": "notifications/initialized"},
    {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": {"name": "wait", "arguments": {}}},
]
text = "".join(json.dumps(one) + "\n" for one in asked)


def answered(held_open):
    server = subprocess.Popen(
        [f"{sys.argv[1]}/venv/bin/python", f"{sys.argv[1]}/server.py"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )
    server.stdin.write(text)
    server.stdin.flush()
    if held_open:
        time.sleep(4)
    out, _ = server.communicate(timeout=60)
    said = {one["id"]: one for one in map(json.loads, out.splitlines()) if "id" in one}
    return "waited" in json.dumps(said.get(2)), said.get(2)


open_, _ = answered(True)
closed, said = answered(False)
print("input held open: answered:", open_)
print("input at its end: answered:", closed, "|", json.dumps(said))
sys.exit(not (open_ and not closed))
END
