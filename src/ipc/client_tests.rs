//! The client against daemons that a test plays.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::thread::JoinHandle;

use super::*;
use crate::error::Kind;

fn places(root: &Path) -> Places {
    Places {
        home: root.join("home"),
        cache: root.join("cache"),
        runtime: root.to_owned(),
    }
}

/// Answers one connection after another with these texts, then stops listening.
fn daemon(places: &Places, answers: Vec<&'static str>) -> JoinHandle<Vec<String>> {
    let listener = UnixListener::bind(places.socket()).expect("bound");
    std::thread::spawn(move || {
        let mut heard = Vec::new();
        for answer in answers {
            let (stream, _) = listener.accept().expect("a client");
            let mut line = String::new();
            let mut reading = BufReader::new(&stream);
            reading.read_line(&mut line).expect("a request");
            heard.push(line);
            let mut writing: &UnixStream = &stream;
            writing.write_all(answer.as_bytes()).expect("answered");
        }
        heard
    })
}

fn with_daemon<T>(
    answers: Vec<&'static str>,
    use_it: impl FnOnce(&Client) -> T,
) -> (T, Vec<String>) {
    let folder = tempfile::tempdir().expect("temporary directory");
    let places = places(folder.path());
    let listening = daemon(&places, answers);
    let command = [
        "blast",
        "install",
        "--index-url=http://me:secret@127.0.0.1/",
    ];
    let client = Client::new(places, ViewChoice::Auto, &command.map(String::from));
    let outcome = use_it(&client);
    (outcome, listening.join().expect("the daemon ended well"))
}

const PONG: &str =
    "{\"frame\":\"reply\",\"reply\":{\"kind\":\"pong\",\"build\":\"1\",\"pid\":7}}\n";

fn load() -> Request {
    let env = "demo".parse().expect("valid");
    Request::Save {
        env,
        name: None,
        dry_run: false,
    }
}

#[test]
fn events_arrive_before_the_reply() {
    let answer = "{\"frame\":\"event\",\"event\":\"phase\",\"name\":\"resolving\"}\n\
                  {\"frame\":\"reply\",\"reply\":{\"kind\":\"done\"}}\n";
    let mut events = Vec::new();
    let (reply, _) = with_daemon(vec![answer], |client| {
        client.ask(Request::Ping, &mut |event| events.push(event.clone()))
    });
    assert!(matches!(reply, Ok(Reply::Done)), "{reply:?}");
    assert_eq!(
        events,
        [Event::Phase {
            name: "resolving".into()
        }]
    );
}

#[test]
fn credentials_do_not_reach_the_history() {
    let (_, heard) = with_daemon(vec![PONG], |client| client.ask(Request::Ping, &mut |_| {}));
    assert!(heard[0].contains("install"), "{heard:?}");
    assert!(!heard[0].contains("secret"), "{heard:?}");
}

#[test]
fn a_daemon_that_was_ending_is_asked_again_where_that_is_harmless() {
    let (reply, heard) = with_daemon(vec!["", PONG], |client| {
        client.ask(Request::Ping, &mut |_| {})
    });
    assert!(matches!(reply, Ok(Reply::Pong { pid: 7, .. })), "{reply:?}");
    assert_eq!(heard.len(), 2);
}

#[test]
fn a_change_is_never_asked_twice() {
    let (reply, heard) = with_daemon(vec![""], |client| client.ask(load(), &mut |_| {}));
    let error = reply.expect_err("the daemon hung up");
    assert_eq!(error.kind, Kind::Internal);
    assert!(error.hints[0].contains("nothing is half-done"), "{error:?}");
    assert_eq!(heard.len(), 1);
}

#[test]
fn half_a_line_is_no_answer() {
    let (reply, _) = with_daemon(vec!["{\"frame\":"], |client| {
        client.ask(load(), &mut |_| {})
    });
    assert!(
        reply
            .expect_err("cut off")
            .message
            .contains("before it answered")
    );
}

#[test]
fn an_answer_of_another_kind_is_an_error_not_a_panic() {
    let (reply, _) = with_daemon(vec!["{\"frame\":\"surprise\"}\n"], |client| {
        client.ask(load(), &mut |_| {})
    });
    assert_eq!(reply.expect_err("unknown frame").kind, Kind::Internal);
}

#[test]
fn a_failure_keeps_its_kind_and_hints() {
    let answer = "{\"frame\":\"error\",\"error\":{\"kind\":\"no\",\"message\":\"no flask\",\
                  \"causes\":[\"c\"],\"hints\":[\"h\"]}}\n";
    let (reply, _) = with_daemon(vec![answer], |client| client.ask(load(), &mut |_| {}));
    let error = reply.expect_err("refused");
    assert_eq!((error.kind, error.message.as_str()), (Kind::No, "no flask"));
    assert_eq!(
        (error.causes, error.hints),
        (vec!["c".to_owned()], vec!["h".to_owned()])
    );
}

#[test]
fn without_a_daemon_nothing_is_started_to_be_ended() {
    let folder = tempfile::tempdir().expect("temporary directory");
    let client = Client::new(places(folder.path()), ViewChoice::Auto, &[]);
    assert!(!client.shut_down(false).expect("nobody there"));
    assert!(
        client
            .ask_running(Request::Ping)
            .expect("nobody there")
            .is_none()
    );
}

#[test]
fn what_a_dead_daemon_left_is_removed() {
    let folder = tempfile::tempdir().expect("temporary directory");
    let places = places(folder.path());
    drop(UnixListener::bind(places.socket()).expect("bound"));
    std::fs::write(places.pid_file(), "1\n").expect("written");
    let client = Client::new(places.clone(), ViewChoice::Auto, &[]);
    assert!(!client.shut_down(false).expect("nobody there"));
    assert!(!places.socket().exists() && !places.pid_file().exists());
}
