//! `kaa upload`.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::thread::{self, JoinHandle};

use kaa_tests::ports::free_port;
use serde_json::json;

use crate::kit::{Kit, text};

#[test]
fn a_file_is_uploaded_under_its_name_or_another() {
    let kit = Kit::new();
    let file = kit.file("pump.log", &"x".repeat(300_000));
    let line = kit.run(&["upload", &file]).one(0);
    assert_eq!(line, json!({"outcome": "confirmed", "status": 204}));
    kit.run(&["upload", &file, "--name", "a b.log"]).one(0);
    let binary = kit.run(&["upload", "--binary", &file]).one(0);
    assert_eq!(binary["status"], json!(201));
    assert!(
        binary["location"]
            .as_str()
            .unwrap()
            .contains("/binary-data/")
    );
    let uploads = kit.state().unwrap().uploads;
    let seen: Vec<_> = uploads
        .iter()
        .map(|upload| (upload.name.as_deref(), upload.size))
        .collect();
    let names = [Some("pump.log"), Some("a b.log"), Some("pump.log")];
    assert_eq!(seen, names.map(|name| (name, 300_000)));
}

#[test]
fn what_is_no_file_is_misuse() {
    let kit = Kit::new();
    kit.run(&["upload", "/no/such/file"])
        .complains(2, "/no/such/file cannot be read");
    kit.run(&["upload", &text(kit.home.path())])
        .complains(2, "is not a file");
    let file = kit.file("f", "x");
    kit.run(&["upload", &file, "--http-url", "ftp://here"])
        .complains(2, "(from --http-url)");
}

#[test]
fn nobody_there_is_unreachable() {
    let kit = Kit::new();
    let nobody = format!("http://127.0.0.1:{}", free_port().unwrap());
    for url in [&nobody, "http://nowhere.invalid"] {
        for contents in ["x", ""] {
            let file = kit.file("f", contents);
            kit.run(&["upload", &file, "--http-url", url])
                .complains(5, "check --http-url");
        }
    }
}

#[test]
fn a_request_that_was_taken_and_not_answered_is_unknown_for_an_empty_file_too() {
    let kit = Kit::new();
    for contents in ["bytes", ""] {
        let file = kit.file("f", contents);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let served = thread::spawn(move || read(&mut listener.accept().unwrap().0).1);
        kit.run(&["upload", &file, "--http-url", &url])
            .complains(4, "look whether it is there");
        assert_eq!(served.join().unwrap(), contents);
    }
}

/// A server that answers one upload after the other so, and tells the tokens and bodies that came.
fn server(answers: &'static [&'static str]) -> (String, JoinHandle<Vec<(String, String)>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let served = thread::spawn(move || {
        let answered = answers.iter().map(|answer| serve(&listener, answer));
        answered.collect()
    });
    (url, served)
}

fn serve(listener: &TcpListener, answer: &str) -> (String, String) {
    let (mut stream, _) = listener.accept().unwrap();
    let (head, body) = read(&mut stream);
    let answer = format!("HTTP/1.1 {answer}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    stream.write_all(answer.as_bytes()).unwrap();
    let token = head.lines().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("x-auth-token")
            .then(|| value.to_owned())
    });
    (token.unwrap(), body)
}

/// Head and body of a request, whose length its head tells.
fn read(stream: &mut TcpStream) -> (String, String) {
    let mut bytes = Vec::new();
    let mut block = [0; 1_024];
    loop {
        let read = stream.read(&mut block).unwrap();
        assert_ne!(read, 0, "the request is whole");
        bytes.extend(&block[..read]);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(": ")?;
            let length = name.eq_ignore_ascii_case("content-length");
            length.then(|| value.parse::<usize>().unwrap())
        });
        if body.len() == length.expect("the length is told") {
            return (head.to_owned(), body.to_owned());
        }
    }
}

#[test]
fn a_token_that_is_not_taken_is_renewed_once() {
    let kit = Kit::with(|options| {
        // Each question gets a new token.
        let validity = options
            .platform
            .switches
            .set("upload-token-validity", "1ms");
        validity.unwrap();
    });
    let file = kit.file("f", "bytes");
    let (url, served) = server(&["403 Forbidden", "204 No Content"]);
    let ended = kit.run(&["upload", &file, "--http-url", &url]);
    assert_eq!(ended.one(0)["status"], json!(204));
    assert!(ended.stderr.contains("getting a new one"), "{ended:?}");
    let came = served.join().unwrap();
    assert_eq!((&*came[0].1, &*came[1].1), ("bytes", "bytes"));
    assert_ne!(came[0].0, came[1].0);
    for (token, _) in &came {
        assert!(!ended.stderr.contains(token) && !ended.stdout.contains(token));
    }
}

#[test]
fn one_that_is_refused_again_is_rejected_and_not_renewed_for_ever() {
    let kit = Kit::new();
    let file = kit.file("f", "bytes");
    let (url, served) = server(&["403 Forbidden", "403 Forbidden"]);
    let ended = kit.run(&["upload", &file, "--http-url", &url]);
    ended.complains(3, "with a new token too");
    assert_eq!(served.join().unwrap().len(), 2);
}

#[test]
fn what_the_server_says_is_a_status() {
    let kit = Kit::new();
    let file = kit.file("f", "bytes");
    let answered = |answers| {
        let (url, served) = server(answers);
        let ended = kit.run(&["upload", &file, "--http-url", &url]);
        served.join().unwrap();
        ended
    };
    answered(&["400 Bad Request"]).complains(3, "rejected with status 400");
    answered(&["503 Busy"]).complains(4, "status 503");
    // The token does not follow.
    answered(&["307 Elsewhere\r\nLocation: http://127.0.0.1:1/"]).complains(3, "status 307");
}
