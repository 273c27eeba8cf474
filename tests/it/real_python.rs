//! Tools that run the Python of an environment by its path, `.venv/bin/python`, as editors do: each finds itself in the
//! environment's sandbox and works. `BLAST_TEST_OFFLINE=1` skips these, visibly.

use blast_harness::{Means, Run, Sandbox, require};

fn with(packages: &[&str]) -> Option<Sandbox> {
    let wanted = require(Means::Network) && require(Means::View) && require(Means::Namespaces);
    let mut sandbox = wanted.then(|| Sandbox::new(env!("CARGO_BIN_EXE_blast")).with_network())?;
    sandbox
        .blast(["start", "demo", "--shell", "bash"])
        .success();
    let words = [&["install", "--env", "demo"][..], packages].concat();
    sandbox.blast(words).success();
    sandbox.unset("BLAST_SANDBOX");
    Some(sandbox)
}

fn by_path(sandbox: &Sandbox, program: &str, arguments: &[&str]) -> Run {
    let path = sandbox.live().join("demo/bin").join(program);
    sandbox.run(sandbox.command(path, arguments))
}

/// Speaks the protocol of debuggers with an adapter over its pipes, and tells what the program that is debugged says.
const DEBUG: &str = r#"
import json, subprocess, sys
adapter = subprocess.Popen([sys.executable, "-m", "debugpy.adapter"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
number = 0
def ask(command, **arguments):
    global number
    number += 1
    body = json.dumps({"seq": number, "type": "request", "command": command, "arguments": arguments}).encode()
    adapter.stdin.write(b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
    adapter.stdin.flush()
def hear():
    length = 0
    while True:
        line = adapter.stdout.readline().strip()
        if not line:
            return json.loads(adapter.stdout.read(length))
        name, value = line.split(b":")
        if name == b"Content-Length":
            length = int(value)
ask("initialize", adapterID="test", linesStartAt1=True, pathFormat="path")
ask("launch", program=sys.argv[1], console="internalConsole", justMyCode=False)
while True:
    message = hear()
    what = message.get("event") or message.get("command")
    if what == "initialized":
        ask("setBreakpoints", source={"path": sys.argv[1]}, breakpoints=[{"line": 3}])
        ask("configurationDone")
    elif what == "stopped":
        print("stopped:", message["body"]["reason"])
        ask("continue", threadId=message["body"]["threadId"])
    elif what == "output" and message["body"].get("category") == "stdout":
        print(message["body"]["output"].strip())
    elif what == "terminated":
        break
adapter.kill()
"#;

#[test]
fn real_debugpy_debugs_in_a_sandbox() {
    let Some(sandbox) = with(&["debugpy"]) else {
        return;
    };
    let program = sandbox.write(
        "debugged.py",
        "import socket\nname = socket.gethostname()\nprint('on', name)\n",
    );
    let run = by_path(
        &sandbox,
        "python",
        &["-c", DEBUG, &program.to_string_lossy()],
    );
    let run = run.success();
    let said: Vec<_> = run.out().split_whitespace().collect();
    assert_eq!(said, ["stopped:", "breakpoint", "on", "sandbox"], "{run}");
}

#[test]
fn real_pyright_checks_in_a_sandbox() {
    let Some(sandbox) = with(&["pyright[nodejs]", "idna"]) else {
        return;
    };
    let python = sandbox.live().join("demo/bin/python");
    let python = python.to_string_lossy();
    let check = |code: &str| {
        sandbox.write("checked.py", code);
        by_path(
            &sandbox,
            "pyright",
            &["--pythonpath", &python, "checked.py"],
        )
    };
    let run = check("import idna\nx: bytes = idna.encode('a')\n");
    assert!(run.success().stdout.contains("0 errors"));
    let run = check("import idna\nx: int = idna.encode('a')\n").exits(1);
    assert!(run.stdout.contains("is not assignable"), "{run}");
}

/// A kernel that the client starts, one cell, and its end.
const KERNEL: &str = r#"
from jupyter_client.manager import start_new_kernel
manager, client = start_new_kernel(kernel_name="python3")
def say(message):
    if message["msg_type"] == "stream":
        print(message["content"]["text"].strip())
client.execute_interactive("import socket, sys; print(socket.gethostname(), sys.prefix)", output_hook=say, timeout=120)
client.stop_channels()
manager.shutdown_kernel()
"#;

#[test]
fn real_jupyter_kernel_runs_in_a_sandbox() {
    let Some(sandbox) = with(&["ipykernel"]) else {
        return;
    };
    let prefix = sandbox.live().join("demo");
    let run = by_path(&sandbox, "python", &["-c", KERNEL]).success();
    assert_eq!(run.out(), format!("sandbox {}", prefix.display()));
}
