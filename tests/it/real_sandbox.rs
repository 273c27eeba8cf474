//! Real packages in a sandbox: a server that this host asks, and a client that knows no proxy.

use std::io::{self, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use blast_harness::{Means, Sandbox, require};
use nix::sys::signal::Signal;

use crate::network_hosts::{HOST, beside_hosts};

fn with(package: &str) -> Option<Sandbox> {
    let wanted = require(Means::Network) && require(Means::View) && require(Means::Namespaces);
    wanted.then(|| installed(Sandbox::new(env!("CARGO_BIN_EXE_blast")), package))
}

fn installed(sandbox: Sandbox, package: &str) -> Sandbox {
    let sandbox = sandbox.with_network();
    sandbox
        .blast(["start", "demo", "--shell", "bash"])
        .success();
    sandbox
        .blast(["install", "--env", "demo", package])
        .success();
    sandbox
}

#[test]
fn real_flask_serves_this_host_from_a_sandbox() {
    let Some(sandbox) = with("flask") else { return };
    let app = "import flask\napp = flask.Flask(__name__)\n\
               @app.get('/')\ndef hello():\n    return 'hello from inside'\n";
    sandbox.write("app.py", app);
    let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = free.local_addr().expect("bound").port();
    drop(free);
    let background = sandbox.blast_in_background([
        "run",
        "--env",
        "demo",
        "--sandbox",
        "strict",
        "--publish",
        &format!("{port}:5000"),
        "--",
        "flask",
        "--app",
        "app",
        "run",
    ]);
    let ask = || -> io::Result<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    let mut answer = String::new();
    for _ in 0..600 {
        answer = ask().unwrap_or_default();
        if !answer.is_empty() {
            break;
        }
        thread::sleep(Duration::from_millis(100));
    }
    background.signal(Signal::SIGTERM);
    let run = sandbox.finish(background);
    assert!(answer.contains("200 OK"), "{answer}: {run}");
    assert!(answer.ends_with("hello from inside"), "{answer}: {run}");
}

/// A server that speaks as much of the protocol of `PostgreSQL` (version 3.0) as one query needs.
const POSTGRES: &str = r#"
import socketserver, struct
def message(kind, body):
    return kind + struct.pack("!I", len(body) + 4) + body
class Handler(socketserver.StreamRequestHandler):
    def body(self):
        return self.rfile.read(struct.unpack("!I", self.rfile.read(4))[0] - 4)
    def handle(self):
        # Whoever asks for encryption first is told that there is none.
        while not self.body().startswith(b"\0\3\0\0"):
            self.wfile.write(b"N")
        ready = message(b"Z", b"I")
        hello = message(b"R", bytes(4))
        for pair in b"server_version\x0016.0\0", b"client_encoding\0UTF8\0", b"standard_conforming_strings\0on\0":
            hello += message(b"S", pair)
        self.wfile.write(hello + ready)
        while self.rfile.read(1) == b"Q":
            # One column, of the type `text` (25), and one row: what was asked, and by whom.
            text = self.body().rstrip(b"\0") + b" for " + self.client_address[0].encode()
            column = b"\0\1asked\0" + bytes(6) + struct.pack("!IhiH", 25, -1, -1, 0)
            row = b"\0\1" + struct.pack("!I", len(text)) + text
            self.wfile.write(message(b"T", column) + message(b"D", row) + message(b"C", b"SELECT 1\0") + ready)
socketserver.ThreadingTCPServer(("", 8000), Handler).serve_forever()
"#;

/// Asks the server of a host, which is named on the command line.
const QUERY: &str = r#"
import psycopg, sys
where = f"host={sys.argv[1]} port=8000 user=u dbname=d connect_timeout=20"
try:
    with psycopg.connect(where, autocommit=True) as connection:
        print(connection.execute("select 1").fetchone()[0])
except psycopg.OperationalError:
    print("not reached")
"#;

#[test]
fn real_psycopg_reaches_an_allowed_server_without_knowing_of_the_filter() {
    // The view is not seen from the namespaces that the test makes: plain files are.
    let wanted = [Means::Network, Means::Namespaces, Means::Netns];
    if !wanted.into_iter().all(require) {
        return;
    }
    let sandbox = installed(
        Sandbox::new(env!("CARGO_BIN_EXE_blast")).with("BLAST_VIEW", "files"),
        "psycopg[binary]",
    );
    sandbox.blast(["kill", "--all"]).success();
    let target = format!("{HOST}:8000");
    let run = |allowed: &[&str]| {
        let mut words = vec!["run", "--env", "demo", "--sandbox", "strict"];
        words.extend(allowed);
        words.extend(["--", "python", "-c", QUERY, HOST]);
        beside_hosts(&sandbox, POSTGRES, &words).success()
    };
    let denied = run(&[]);
    assert_eq!(denied.out(), "not reached");
    let lesson = format!("blast allow net {target}");
    assert!(denied.stderr.contains(&lesson), "{denied}");
    let allowed = run(&["--allow-net", &target]);
    assert_eq!(allowed.out(), "select 1 for 198.51.100.1", "{allowed}");
    beside_hosts(&sandbox, POSTGRES, &["kill", "--all", "--force"]);
}
