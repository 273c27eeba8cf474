//! Real packages in a sandbox: a server that this host asks, and a client that knows no proxy.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use blast_harness::{Means, Sandbox, require};
use nix::sys::signal::Signal;

fn with(package: &str) -> Option<Sandbox> {
    let wanted = require(Means::Network) && require(Means::View) && require(Means::Namespaces);
    let sandbox = wanted.then(|| Sandbox::new(env!("CARGO_BIN_EXE_blast")).with_network())?;
    sandbox
        .blast(["start", "demo", "--shell", "bash"])
        .success();
    sandbox
        .blast(["install", "--env", "demo", package])
        .success();
    Some(sandbox)
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

/// A server that speaks as much of the protocol of `PostgreSQL` (version 3.0) as one query needs; its port.
fn postgres() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("bound").port();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // Who hangs up has what it wanted.
            serve(stream).unwrap_or_default();
        }
    });
    port
}

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).expect("short");
    [&[kind][..], &length.to_be_bytes(), body].concat()
}

fn body(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let mut body = vec![0; u32::from_be_bytes(length) as usize - 4];
    stream.read_exact(&mut body)?;
    Ok(body)
}

fn serve(mut stream: TcpStream) -> io::Result<()> {
    const VERSION_3: [u8; 4] = [0, 3, 0, 0];
    // Whoever asks for encryption first is told that there is none.
    while !body(&mut stream)?.starts_with(&VERSION_3) {
        stream.write_all(b"N")?;
    }
    let ready = message(b'Z', b"I");
    let mut hello = message(b'R', &[0; 4]);
    for parameter in [
        &b"server_version\x0016.0\0"[..],
        b"client_encoding\0UTF8\0",
        b"standard_conforming_strings\0on\0",
    ] {
        hello.extend(message(b'S', parameter));
    }
    hello.extend(&ready);
    stream.write_all(&hello)?;
    loop {
        let mut kind = [0];
        stream.read_exact(&mut kind)?;
        let asked = body(&mut stream)?;
        if kind != *b"Q" {
            return Ok(());
        }
        // One column, of the type `text` (25), and one row: what was asked.
        let column = [
            &[0, 1][..],
            b"asked\0",
            &[0; 6],
            &25_u32.to_be_bytes(),
            &[0xff; 2],
            &[0xff; 4],
            &[0; 2],
        ];
        let text = asked.strip_suffix(b"\0").unwrap_or(&asked);
        let length = u32::try_from(text.len()).expect("short").to_be_bytes();
        let mut answer = message(b'T', &column.concat());
        answer.extend(message(b'D', &[&[0, 1][..], &length, text].concat()));
        answer.extend(message(b'C', b"SELECT 1\0"));
        answer.extend(&ready);
        stream.write_all(&answer)?;
    }
}

#[test]
fn real_psycopg_reaches_an_allowed_server_without_knowing_of_the_filter() {
    let Some(sandbox) = with("psycopg[binary]") else {
        return;
    };
    let port = postgres();
    let code = format!(
        "import psycopg\n\
         try:\n\
         \x20   with psycopg.connect('host=127.0.0.1 port={port} user=u dbname=d connect_timeout=20', \
         autocommit=True) as connection:\n\
         \x20       print(connection.execute('select 1').fetchone()[0])\n\
         except psycopg.OperationalError: print('not reached')\n"
    );
    let target = format!("127.0.0.1:{port}");
    let run = |allowed: &[&str]| {
        let mut words = vec!["run", "--env", "demo", "--sandbox", "strict"];
        words.extend(allowed);
        words.extend(["--", "python", "-c", &code]);
        sandbox.blast(words).success()
    };
    let denied = run(&[]);
    assert_eq!(denied.out(), "not reached");
    assert!(
        denied.stderr.contains(&format!("blast allow net {target}")),
        "{denied}"
    );
    assert_eq!(run(&["--allow-net", &target]).out(), "select 1");
}
